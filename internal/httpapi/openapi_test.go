package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
)

// The parts of an OpenAPI document that the tests read.
type (
	document struct {
		OpenAPI    string
		Paths      map[string]map[string]operation
		Components struct {
			Schemas    map[string]schema
			Parameters map[string]parameter
		}
	}
	operation struct {
		OperationID string
		Parameters  []parameter
		RequestBody *struct {
			Content map[string]struct {
				Schema   schema
				Examples map[string]struct{ Value json.RawMessage }
			}
		}
		Responses map[string]struct {
			Ref     string `json:"$ref"`
			Content map[string]struct{ Schema schema }
		}
	}
	parameter struct {
		Ref      string `json:"$ref"`
		Name, In string
		Example  any
	}
	schema struct {
		Ref                  string `json:"$ref"`
		Type                 string
		Properties           map[string]schema
		Required             []string
		AdditionalProperties *bool
		Items                *schema
		OneOf                []schema
		Enum                 []string
		Minimum              *float64
		MinItems, MinLength  int
	}
)

func (b *bench) document() *document {
	b.Helper()
	var d document
	a := b.must(200, request{path: "/v1/openapi.json", token: "none"}, &d)
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/vnd.oai.openapi+json") || d.OpenAPI != "3.1.0" {
		b.Errorf("the document is %q, OpenAPI %q", ct, d.OpenAPI)
	}
	return &d
}

func TestDocumentHasEveryRouteAndNoOther(t *testing.T) {
	var inMux, inDocument []string
	for _, r := range httpapi.Routes() {
		inMux = append(inMux, r[0]+" "+r[1])
	}
	ids := map[string]bool{}
	for path, ops := range serve(t, nil).document().Paths {
		for method, op := range ops {
			inDocument = append(inDocument, strings.ToUpper(method)+" "+path)
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: the operationId %q is missing or there twice", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			if op.Responses["default"].Ref != "#/components/responses/Problem" {
				t.Errorf("%s %s does not say how it refuses", method, path)
			}
		}
	}
	slices.Sort(inMux)
	slices.Sort(inDocument)
	if d := cmp.Diff(inDocument, inMux); d != "" {
		t.Errorf("routes (-document +mux):\n%s", d)
	}
}

// prepared is a server in the state that the document's examples suppose.
func prepared(t *testing.T) *bench {
	b := serve(t, nil)
	b.say("chat-42", "m1", `"hello"`)
	b.must(201, post("/v1/sessions/chat-42/runs", `{"id":"answer-7","data":{"model":"m"}}`), nil)
	b.must(200, post("/v1/sessions/chat-42/runs/2/fragments", `{"fence":1,"fragments":[{"text":"It was"},{"part":"p","event":{}}]}`), nil)
	b.must(201, request{method: "PUT", path: "/v1/sessions/chat-42/states/progress", body: "1"}, nil)
	b.must(201, post("/v1/sessions/chat-42/stops", `{"id":"stop-1","user":"ada","answers":1}`), nil)
	b.must(201, post("/v1/revocations", `{"token":"t-1"}`), nil)
	b.must(201, post("/v1/sessions/chat-42/requests", `{"id":"ask-1","data":"sure?"}`), nil)
	b.must(200, request{method: "PUT", path: turnsPath, body: `{"policy":"queue"}`}, nil)
	b.say("chat-42", "phone:7", `"waits"`)
	return b
}

func TestDocumentsExamplesAreAccepted(t *testing.T) {
	d := serve(t, nil).document()
	for path, ops := range d.Paths {
		for method, op := range ops {
			base := request{method: strings.ToUpper(method), path: d.fill(t, path, op.Parameters)}
			if op.RequestBody == nil {
				t.Run(op.OperationID, func(t *testing.T) { d.try(t, op, base) })
				continue
			}
			for media, content := range op.RequestBody.Content {
				if len(content.Examples) == 0 {
					t.Errorf("%s has no example of a body", op.OperationID)
				}
				for name, e := range content.Examples {
					t.Run(op.OperationID+"/"+name, func(t *testing.T) {
						if msg := d.check(content.Schema, e.Value, "example"); msg != "" {
							t.Error(msg)
						}
						req := with(base, "Content-Type", media)
						req.body = string(e.Value)
						if media == "text/plain" {
							req.body, _ = strconv.Unquote(req.body)
						}
						d.try(t, op, req)
					})
				}
			}
		}
	}
}

// fill puts the parameters' examples into a path.
func (d *document) fill(t *testing.T, path string, params []parameter) string {
	query := url.Values{}
	for _, p := range params {
		if p.Ref != "" {
			p = d.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
		}
		switch {
		case p.Name == "":
			t.Errorf("%s: a parameter is not described", path)
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(fmt.Sprint(p.Example)))
		case p.In == "query" && p.Example != nil:
			query.Set(p.Name, fmt.Sprint(p.Example))
		}
	}
	return path + "?" + query.Encode()
}

// try does a request and holds the answer to the document.
func (d *document) try(t *testing.T, op operation, req request) {
	a := prepared(t).do(req)
	response, ok := op.Responses[strconv.Itoa(a.status)]
	if !ok {
		t.Fatalf("%s %s: %d is not in the document: %s", req.method, req.path, a.status, a.body)
	}
	if len(response.Content) == 0 {
		if len(a.body) > 0 {
			t.Errorf("%d has a body: %s", a.status, a.body)
		}
		return
	}
	media, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	content, ok := response.Content[media]
	if err != nil || !ok {
		t.Fatalf("%q is not in the document (%v)", media, err)
	}
	if msg := d.check(content.Schema, a.body, "answer"); msg != "" {
		t.Errorf("%s\n%s", msg, a.body)
	}
}

func TestProblemsAreAsDocumented(t *testing.T) {
	b := prepared(t)
	d := b.document()
	for _, req := range []request{
		{path: "/v1/runs", token: "none"},
		post("/v1/sessions/chat-42/runs/2/fragments", `{"fence":9,"fragments":[{"text":"x"}]}`),
		{method: "PATCH", path: "/v1/runs"},
	} {
		a := b.do(req)
		if msg := d.check(schema{Ref: "#/components/schemas/Problem"}, a.body, "problem"); msg != "" || a.status < 400 {
			t.Errorf("%d %s\n%s", a.status, msg, a.body)
		}
	}
	var codes []string
	for _, c := range holdfast.Codes() {
		codes = append(codes, string(c))
	}
	if d := cmp.Diff(d.Components.Schemas["Code"].Enum, codes); d != "" {
		t.Errorf("codes (-document +program):\n%s", d)
	}
}

// check says what of a JSON text is not as the schema has it, or nothing.
func (d *document) check(s schema, raw json.RawMessage, at string) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return at + ": " + err.Error()
	}
	return d.checkValue(s, v, at)
}

func (d *document) checkValue(s schema, v any, at string) string {
	if s.Ref != "" {
		named, ok := d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		if !ok {
			return at + ": no schema " + s.Ref
		}
		s = named
	}
	if len(s.OneOf) > 0 {
		return d.checkOneOf(s, v, at)
	}
	switch v := v.(type) {
	case map[string]any:
		return d.checkObject(s, v, at)
	case []any:
		if s.Type == "array" && len(v) >= s.MinItems {
			for i, item := range v {
				if msg := d.checkValue(*s.Items, item, fmt.Sprintf("%s[%d]", at, i)); msg != "" {
					return msg
				}
			}
			return ""
		}
	case string:
		if s.Type == "string" && len(v) >= s.MinLength && (s.Enum == nil || slices.Contains(s.Enum, v)) {
			return ""
		}
	case float64:
		if (s.Type == "integer" && v == math.Trunc(v) || s.Type == "number") && (s.Minimum == nil || v >= *s.Minimum) {
			return ""
		}
	case bool:
		if s.Type == "boolean" {
			return ""
		}
	}
	if s.Type == "" {
		return ""
	}
	return fmt.Sprintf("%s: %v is not of type %s %v", at, v, s.Type, s.Enum)
}

func (d *document) checkOneOf(s schema, v any, at string) string {
	var msgs []string
	for _, one := range s.OneOf {
		if msg := d.checkValue(one, v, at); msg != "" {
			msgs = append(msgs, msg)
		}
	}
	if len(msgs) == len(s.OneOf)-1 {
		return ""
	}
	return fmt.Sprintf("%s: %d of %d schemas fit: %v", at, len(s.OneOf)-len(msgs), len(s.OneOf), msgs)
}

func (d *document) checkObject(s schema, v map[string]any, at string) string {
	if s.Type == "" {
		return ""
	}
	if s.Type != "object" {
		return fmt.Sprintf("%s: an object instead of %s", at, s.Type)
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return fmt.Sprintf("%s: %s is missing", at, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		property, ok := s.Properties[name]
		switch {
		case !ok && s.AdditionalProperties != nil && !*s.AdditionalProperties:
			return fmt.Sprintf("%s: %s is not in the schema", at, name)
		case !ok:
			continue
		}
		if msg := d.checkValue(property, v[name], at+"."+name); msg != "" {
			return msg
		}
	}
	return ""
}
