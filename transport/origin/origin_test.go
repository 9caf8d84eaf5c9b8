package origin

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOrigins(t *testing.T) {
	for name, tc := range map[string]struct {
		allowed      []string
		origin, host string
		want         bool
	}{
		"own host":                  {nil, "https://a.com", "a.com", true},
		"own host in capitals":      {nil, "https://A.com", "a.COM", true},
		"own host and port":         {nil, "http://a.com:8080", "a.com:8080", true},
		"other port":                {nil, "http://a.com:8081", "a.com:8080", false},
		"other host":                {nil, "https://b.com", "a.com", false},
		"null":                      {nil, "null", "a.com", false},
		"empty":                     {nil, "", "", false},
		"no address at all":         {nil, "://", "", false},
		"null allowed":              {[]string{"null"}, "null", "a.com", true},
		"listed":                    {[]string{"https://b.com"}, "https://b.com", "a.com", true},
		"listed with default port":  {[]string{"https://b.com:443"}, "https://b.com", "a.com", true},
		"listed in capitals":        {[]string{"HTTPS://B.com"}, "https://b.com", "a.com", true},
		"other scheme":              {[]string{"https://b.com"}, "http://b.com", "a.com", false},
		"listed other port":         {[]string{"https://b.com"}, "https://b.com:444", "a.com", false},
		"second of the list":        {[]string{"https://b.com", "http://localhost:5173"}, "http://localhost:5173", "a.com", true},
		"subdomain":                 {[]string{"https://*.b.com"}, "https://x.b.com", "a.com", true},
		"deep subdomain":            {[]string{"https://*.b.com"}, "https://x.y.b.com", "a.com", true},
		"not the domain itself":     {[]string{"https://*.b.com"}, "https://b.com", "a.com", false},
		"not a longer name":         {[]string{"https://*.b.com"}, "https://evilb.com", "a.com", false},
		"not as a prefix":           {[]string{"https://*.b.com"}, "https://x.b.com.evil.org", "a.com", false},
		"subdomain and port":        {[]string{"https://*.b.com:8443"}, "https://x.b.com:8443", "a.com", true},
		"star":                      {[]string{"*"}, "https://anything.org", "a.com", true},
		"custom scheme":             {[]string{"capacitor://localhost"}, "capacitor://localhost", "a.com", true},
		"user part does not fool":   {[]string{"https://b.com"}, "https://b.com@evil.org", "a.com", false},
		"own host as the user part": {nil, "https://a.com@evil.org", "a.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := Parse(tc.allowed)
			if err != nil {
				t.Fatal(err)
			}
			if got := all.allows(tc.origin, tc.host); got != tc.want {
				t.Errorf("allowed: %v, want %v", got, tc.want)
			}
		})
	}
}

// What a page may read of an answer is told by headers; a page that may not connect gets none.
func TestShare(t *testing.T) {
	all, err := Parse([]string{"https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		origins []string
		want    bool
		header  string
	}{
		"no page":         {nil, true, ""},
		"its own page":    {[]string{"https://h.example.com"}, true, "https://h.example.com"},
		"an allowed page": {[]string{"https://app.example.com"}, true, "https://app.example.com"},
		"a foreign page":  {[]string{"https://evil.example.org"}, false, ""},
		"two pages":       {[]string{"https://app.example.com", "https://evil.example.org"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "https://h.example.com/", nil)
			r.Header["Origin"] = tc.origins
			w := httptest.NewRecorder()
			if got := all.Share(w, r); got != tc.want {
				t.Errorf("shared: %v, want %v", got, tc.want)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != tc.header {
				t.Errorf("Access-Control-Allow-Origin is %q, want %q", got, tc.header)
			}
			if w.Header().Get("Vary") != "Origin" {
				t.Error("a cache is not told that the answer depends on the origin")
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Error("a page may send its visitor's cookies")
			}
		})
	}
}
