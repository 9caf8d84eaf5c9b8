package auth

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
)

// assertNoToken fails if a text holds the token or one of its parts.
func assertNoToken(tb testing.TB, text, token string) {
	tb.Helper()
	for _, part := range append(strings.Split(token, "."), token) {
		if len(part) >= 8 && strings.Contains(text, part) {
			tb.Errorf("the text holds a part of the token: %s", text)
		}
	}
}

func TestVerifyAcceptsEachAlgorithm(t *testing.T) {
	r := ring()
	for alg, key := range map[string]any{
		"HS256": r.secret, "HS384": r.secret, "HS512": r.secret,
		"RS256": r.rsa, "RS384": r.rsa, "RS512": r.rsa, "PS256": r.rsa, "PS384": r.rsa, "PS512": r.rsa,
		"ES256": r.p256, "ES384": r.p384, "ES512": r.p521, "EdDSA": r.ed,
	} {
		t.Run(alg, func(t *testing.T) {
			v := mustNew(t, Options{Keys: []Key{publicKey(t, "k", key)}, Algorithms: []string{alg}})
			g, err := v.Verify(t.Context(), forge(t, object{"alg": alg, "kid": "k", "typ": "JWT"}, goodClaims(nil), key))
			if err != nil {
				t.Fatal(err)
			}
			want := holdfast.Grant{User: "ann", Read: []string{"chat-*"}, Expires: noon().Add(630 * time.Second).UTC(), Issued: noon().UTC()}
			if d := cmp.Diff(want, g); d != "" {
				t.Error(d)
			}
			// The same key and another algorithm of its family must not do.
			for _, other := range algorithms() {
				if other.name == alg || other.family != familyOf(alg) {
					continue
				}
				token := forge(t, object{"alg": other.name, "kid": "k"}, goodClaims(nil), key)
				if _, err := v.Verify(t.Context(), token); holdfast.CodeOf(err) != holdfast.CodeUnauthorized {
					t.Errorf("%s: %v", other.name, err)
				}
			}
		})
	}
}

// tokenCase is a token for a verifier that knows the key "r" (RSA, RS256), the key "s" (secret, HS256) and the key
// "e" (Ed25519), and expects the issuer "https://iss" and the audience "hf".
type tokenCase struct {
	token string
	// want is a part of the error's text; empty means that the token is good.
	want string
	user holdfast.UserID
}

func full(changes object) object {
	c := goodClaims(object{"iss": "https://iss", "aud": "hf"})
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func signed(t *testing.T, changes object) string {
	return forge(t, object{"alg": "RS256", "kid": "r"}, full(changes), ring().rsa)
}

func headerCases(t *testing.T) map[string]tokenCase {
	r := ring()
	rs := func(h object) string { return forge(t, h, full(nil), r.rsa) }
	good := rs(object{"alg": "RS256", "kid": "r"})
	parts := strings.Split(good, ".")
	pemSecret := publicPEM(t, r.rsa)
	return map[string]tokenCase{
		"good":                 {token: good, user: "ann"},
		"good secret":          {token: forge(t, object{"alg": "HS256", "kid": "s"}, full(nil), r.secret), user: "ann"},
		"good ed25519":         {token: forge(t, object{"alg": "EdDSA", "kid": "e"}, full(nil), r.ed), user: "ann"},
		"good without kid":     {token: rs(object{"alg": "RS256"}), user: "ann"},
		"good typ at+jwt":      {token: rs(object{"alg": "RS256", "kid": "r", "typ": "application/AT+jwt"}), user: "ann"},
		"null header members":  {token: rs(object{"alg": "RS256", "kid": nil, "x5c": nil}), user: "ann"},
		"typ logout":           {token: rs(object{"alg": "RS256", "kid": "r", "typ": "logout+jwt"}), want: `typ is "logout+jwt"`},
		"typ number":           {token: rs(object{"alg": "RS256", "kid": "r", "typ": 4}), want: "typ"},
		"alg none":             {token: forge(t, object{"alg": "none"}, full(nil), nil), want: `algorithm "none" is not allowed`},
		"alg None":             {token: forge(t, object{"alg": "None"}, full(nil), nil), want: "is not allowed"},
		"alg none with kid":    {token: forge(t, object{"alg": "none", "kid": "r"}, full(nil), r.rsa), want: "is not allowed"},
		"alg missing":          {token: forge(t, object{"kid": "r"}, full(nil), r.secret), want: "is not allowed"},
		"alg rs512":            {token: rs(object{"alg": "RS512", "kid": "r"}), want: `algorithm "RS512" is not allowed; allowed: EdDSA, HS256, RS256`},
		"alg lower case":       {token: forge(t, object{"alg": "rs256", "kid": "r"}, full(nil), r.secret), want: "is not allowed"},
		"alg a list":           {token: forge(t, object{"alg": []string{"RS256"}, "kid": "r"}, full(nil), r.secret), want: "is not allowed"},
		"hs with rsa pem":      {token: forge(t, object{"alg": "HS256", "kid": "r"}, full(nil), pemSecret), want: "no key here is for"},
		"hs with rsa, no kid":  {token: forge(t, object{"alg": "HS256"}, full(nil), pemSecret), want: "signature is wrong"},
		"hs with rsa modulus":  {token: forge(t, object{"alg": "HS256", "kid": "r"}, full(nil), r.rsa.N.Bytes()), want: "no key here"},
		"rs with secret's kid": {token: rs(object{"alg": "RS256", "kid": "s"}), want: "no key here is for"},
		"unknown kid":          {token: rs(object{"alg": "RS256", "kid": "new-2"}), want: `key id "new-2"`},
		"kid of other key":     {token: forge(t, object{"alg": "RS256", "kid": "r"}, full(nil), r.otherRSA), want: "signature is wrong"},
		"kid long":             {token: rs(object{"alg": "RS256", "kid": strings.Repeat("k", 300)}), want: "(not shown)"},
		"kid is the signature": {token: kidOfSignature(t), want: "(not shown)"},
		"kid a number":         {token: rs(object{"alg": "RS256", "kid": 7}), want: "header is not one"},
		"crit":                 {token: rs(object{"alg": "RS256", "kid": "r", "crit": []string{"exp"}}), want: "has crit"},
		"b64":                  {token: rs(object{"alg": "RS256", "kid": "r", "b64": false}), want: "has b64"},
		"embedded jwk":         {token: embeddedKey(t), want: "signature is wrong"},
		"header twice alg":     {token: forge(t, `{"alg":"RS256","alg":"none"}`, full(nil), r.secret), want: "header is not one"},
		"header a list":        {token: forge(t, `["RS256"]`, full(nil), r.secret), want: "header is not one"},
		"header not JSON":      {token: forge(t, `RS256`, full(nil), r.secret), want: "header is not one"},
		"tampered payload":     {token: parts[0] + "." + encode(t, full(object{"sub": "eve"})) + "." + parts[2], want: "signature is wrong"},
		"tampered header": {token: encode(t, `{"kid":"r","alg":"RS256" }`) + "." + parts[1] + "." + parts[2],
			want: "signature is wrong"},
		"tampered signature": {token: parts[0] + "." + parts[1] + "." + flip(parts[2]), want: "signature is wrong"},
		"signature missing":  {token: parts[0] + "." + parts[1] + ".", want: "signature is wrong"},
	}
}

func formCases(t *testing.T) map[string]tokenCase {
	good := signed(t, nil)
	return map[string]tokenCase{
		"empty":            {token: "", want: "no token"},
		"garbage":          {token: "hello", want: "not a signed JWT"},
		"dots":             {token: "..", want: "is not"},
		"two parts":        {token: good[:strings.LastIndex(good, ".")], want: "2 parts"},
		"four parts":       {token: good + ".x", want: "4 parts"},
		"encrypted":        {token: good + ".AA.AA", want: "5 parts"},
		"json form":        {token: `{"payload":"e30","signatures":[]}`, want: "not a signed JWT"},
		"space before":     {token: " " + good, want: "part 1 is not base64url"},
		"line end inside":  {token: good[:10] + "\n" + good[10:], want: "part 1 is not base64url"},
		"padding":          {token: good + "==", want: "part 3 is not base64url"},
		"standard base64":  {token: strings.Replace(good, ".", "+.", 1), want: "part 1 is not base64url"},
		"spare bits":       {token: spareBits(good), want: "part 3 is not base64url"},
		"bearer in front":  {token: "Bearer " + good, want: "not base64url"},
		"huge":             {token: signed(t, object{"pad": strings.Repeat("x", MaxToken)}), want: "at most 8192"},
		"huge garbage":     {token: strings.Repeat(".", 1<<20), want: "at most 8192"},
		"largest that may": {token: signed(t, object{"pad": strings.Repeat("x", 5500)}), user: "ann"},
	}
}

func claimCases(t *testing.T) map[string]tokenCase {
	now := noon().Unix()
	return map[string]tokenCase{
		"expired":                {token: signed(t, object{"exp": now - 31}), want: "expired at 2030-03-17T17:46:09Z"},
		"expired at the second":  {token: signed(t, object{"exp": now - 30}), want: "expired at"},
		"expired within leeway":  {token: signed(t, object{"exp": now - 29}), user: "ann"},
		"exp missing":            {token: signed(t, object{"exp": nil}), want: "no exp"},
		"exp zero":               {token: signed(t, object{"exp": 0}), want: "exp must be a number"},
		"exp negative":           {token: signed(t, object{"exp": -5}), want: "exp must be a number"},
		"exp a text":             {token: signed(t, object{"exp": "1900000600"}), want: "exp must be a number"},
		"exp overflows":          {token: signed(t, object{"exp": 1e300}), want: "exp must be a number"},
		"exp a fraction":         {token: signed(t, object{"exp": float64(now) + 5.5}), user: "ann"},
		"not yet valid":          {token: signed(t, object{"nbf": now + 31}), want: "not valid before"},
		"nbf within leeway":      {token: signed(t, object{"nbf": now + 30}), user: "ann"},
		"nbf overflows":          {token: signed(t, object{"nbf": 1e19}), want: "nbf must be a number"},
		"issued in the future":   {token: signed(t, object{"iat": now + 31}), want: "in the future"},
		"no sub":                 {token: signed(t, object{"sub": nil}), want: "no sub"},
		"sub empty":              {token: signed(t, object{"sub": ""}), want: "no sub"},
		"sub a number":           {token: signed(t, object{"sub": 12}), want: "sub must be a text"},
		"sub control character":  {token: signed(t, object{"sub": "a\nb"}), want: "control character"},
		"sub too long":           {token: signed(t, object{"sub": strings.Repeat("u", 257)}), want: "257 bytes"},
		"sub with star":          {token: signed(t, object{"sub": "*{user}"}), user: "*{user}"},
		"wrong issuer":           {token: signed(t, object{"iss": "https://evil"}), want: `issuer is "https://evil"; "https://iss" is expected`},
		"issuer missing":         {token: signed(t, object{"iss": nil}), want: "issuer is missing"},
		"issuer a prefix":        {token: signed(t, object{"iss": "https://iss/"}), want: "issuer is"},
		"wrong audience":         {token: signed(t, object{"aud": "other"}), want: `not for the audience "hf"`},
		"audience list":          {token: signed(t, object{"aud": []string{"a", "hf"}}), user: "ann"},
		"audience missing":       {token: signed(t, object{"aud": nil}), want: "audience"},
		"audience wrong type":    {token: signed(t, object{"aud": []any{"hf", 3}}), want: "aud must be"},
		"audiences too many":     {token: signed(t, object{"aud": make([]string, 101)}), want: "aud has 101"},
		"payload a list":         {token: forge(t, object{"alg": "RS256", "kid": "r"}, `[]`, ring().rsa), want: "payload"},
		"payload null":           {token: forge(t, object{"alg": "RS256", "kid": "r"}, `null`, ring().rsa), want: "payload"},
		"payload empty":          {token: forge(t, object{"alg": "RS256", "kid": "r"}, ``, ring().rsa), want: "payload"},
		"payload not UTF-8":      {token: forge(t, object{"alg": "RS256", "kid": "r"}, "{\"sub\":\"\xff\"}", ring().rsa), want: "payload"},
		"payload names twice":    {token: forge(t, object{"alg": "RS256", "kid": "r"}, `{"sub":"a","sub":"b"}`, ring().rsa), want: "payload"},
		"SUB is not sub":         {token: signed(t, object{"sub": nil, "SUB": "ann"}), want: "no sub"},
		"backend without sub":    {token: signed(t, object{"sub": nil, "hf": object{"backend": true}})},
		"backend false, no sub":  {token: signed(t, object{"sub": nil, "hf": object{"backend": false}}), want: "no sub"},
		"backend expired":        {token: signed(t, object{"exp": 5, "hf": object{"backend": true}}), want: "expired"},
		"backend not in hf":      {token: signed(t, object{"sub": nil, "backend": true}), want: "no sub"},
		"hf missing":             {token: signed(t, object{"hf": nil}), user: "ann"},
		"hf a list":              {token: signed(t, object{"hf": []string{"chat"}}), want: "hf must be an object"},
		"hf a text":              {token: signed(t, object{"hf": "backend"}), want: "hf must be an object"},
		"hf backend a text":      {token: signed(t, object{"hf": object{"backend": "true"}}), want: "hf.backend must be true or false"},
		"hf backend a number":    {token: signed(t, object{"hf": object{"backend": 1}}), want: "hf.backend must be"},
		"hf misspelt":            {token: signed(t, object{"hf": object{"reed": []string{"a"}}}), want: `unknown member "reed"`},
		"hf read a text":         {token: signed(t, object{"hf": object{"read": "chat-*"}}), want: "hf.read must be a list of texts"},
		"hf send numbers":        {token: signed(t, object{"hf": object{"send": []int{1}}}), want: "hf.send must be a list of texts"},
		"hf stop null in list":   {token: signed(t, object{"hf": object{"stop": []any{nil}}}), want: "hf.stop must be a list of texts"},
		"hf pattern empty":       {token: signed(t, object{"hf": object{"read": []string{"a", ""}}}), want: "0 bytes at index 1"},
		"hf pattern too long":    {token: signed(t, object{"hf": object{"read": []string{strings.Repeat("a", 257)}}}), want: "257 bytes"},
		"hf patterns 100":        {token: signed(t, object{"hf": object{"read": repeat("a", 100)}}), user: "ann"},
		"hf patterns 101":        {token: signed(t, object{"hf": object{"read": repeat("a", 101)}}), want: "101 patterns"},
		"hf pattern braces":      {token: signed(t, object{"hf": object{"read": []string{"{usr}-*"}}}), want: "can match no session"},
		"hf pattern split brace": {token: signed(t, object{"hf": object{"read": []string{"{us*er}"}}}), want: "can match no session"},
		"hf pattern nested":      {token: signed(t, object{"hf": object{"read": []string{"{us{user}er}"}}}), want: "can match no session"},
		"hf pattern space":       {token: signed(t, object{"hf": object{"read": []string{"a b"}}}), want: "can match no session"},
	}
}

func TestVerifyTable(t *testing.T) {
	r := ring()
	var logs strings.Builder
	v := mustNew(t, Options{
		Keys:   []Key{publicKey(t, "r", r.rsa), publicKey(t, "s", r.secret), publicKey(t, "e", r.ed)},
		Issuer: "https://iss", Audience: "hf", Logger: slog.New(slog.NewTextHandler(&logs, nil)),
	})
	for _, table := range []map[string]tokenCase{headerCases(t), formCases(t), claimCases(t)} {
		for name, c := range table {
			t.Run(name, func(t *testing.T) {
				g, err := v.Verify(t.Context(), c.token)
				if c.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					if g.User != c.user || g.Expires.IsZero() {
						t.Errorf("grant %+v", g)
					}
					return
				}
				if holdfast.CodeOf(err) != holdfast.CodeUnauthorized || !strings.Contains(fmt.Sprint(err), c.want) {
					t.Errorf("got %v, want unauthorized with %q", err, c.want)
				}
				if d := cmp.Diff(holdfast.Grant{}, g); d != "" {
					t.Errorf("a refused token granted: %s", d)
				}
				assertNoToken(t, fmt.Sprintf("%v %+v %#v", err, err, err), c.token)
			})
		}
	}
	if logs.Len() != 0 {
		t.Errorf("refused tokens were logged: %s", logs.String())
	}
}

func repeat(s string, n int) []string { return strings.Split(strings.Repeat(s, n), "") }

// flip changes the first character, all of whose bits count.
func flip(part string) string {
	if part[0] == 'A' {
		return "B" + part[1:]
	}
	return "A" + part[1:]
}

// spareBits changes only the bits of the last character that encode nothing: a lax decoder reads the same token.
func spareBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

// kidOfSignature is a token whose key id holds its own signature.
func kidOfSignature(t *testing.T) string {
	sig := strings.Repeat("A", 40)
	return encode(t, object{"alg": "RS256", "kid": "x" + sig}) + "." + encode(t, full(nil)) + "." + sig
}

// embeddedKey is a token that brings along the key it is signed with (RFC 7515 §4.1.3).
func embeddedKey(t *testing.T) string {
	jwk := publicJWK(t, "r", ring().otherRSA)
	return forge(t, object{"alg": "RS256", "jwk": jwk}, full(nil), ring().otherRSA)
}

func TestVerifyWithoutExpiry(t *testing.T) {
	v := mustNew(t, Options{Keys: []Key{publicKey(t, "", ring().secret)}, AllowNoExpiry: true})
	g, err := v.Verify(t.Context(), forge(t, object{"alg": "HS256"}, goodClaims(object{"exp": nil}), ring().secret))
	if err != nil || !g.Expires.IsZero() {
		t.Errorf("%+v, %v", g, err)
	}
	token := forge(t, object{"alg": "HS256"}, goodClaims(object{"exp": noon().Unix() - 60}), ring().secret)
	if _, err := v.Verify(t.Context(), token); holdfast.CodeOf(err) != holdfast.CodeUnauthorized {
		t.Errorf("an exp that is there does not count: %v", err)
	}
}

func TestVerifyGrantEndsWhenVerifyRefuses(t *testing.T) {
	for name, leeway := range map[string]time.Duration{"default": 0, "none": -1, "long": 5 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			now := noon()
			v := mustNew(t, Options{Keys: []Key{publicKey(t, "", ring().secret)}, Leeway: leeway,
				Now: func() time.Time { return now }})
			token := forge(t, object{"alg": "HS256"}, goodClaims(nil), ring().secret)
			g, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			now = g.Expires.Add(-1)
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Errorf("before the end: %v", err)
			}
			now = g.Expires
			if _, err := v.Verify(t.Context(), token); err == nil {
				t.Error("at the end: still good")
			}
		})
	}
}

func TestVerifyTriesFewKeys(t *testing.T) {
	var keys []Key
	for range maxTries {
		keys = append(keys, publicKey(t, "", NewSecret()))
	}
	token := forge(t, object{"alg": "HS256"}, goodClaims(nil), ring().secret)
	right := publicKey(t, "", ring().secret)
	if _, err := mustNew(t, Options{Keys: append(keys[:maxTries-1:maxTries-1], right)}).Verify(t.Context(), token); err != nil {
		t.Errorf("the last key that is tried: %v", err)
	}
	if _, err := mustNew(t, Options{Keys: append(keys, right)}).Verify(t.Context(), token); err == nil {
		t.Error("more keys were tried than are allowed")
	}
}

func BenchmarkVerify(b *testing.B) {
	r := ring()
	for alg, key := range map[string]any{"HS256": r.secret, "RS256": r.rsa, "ES256": r.p256, "EdDSA": r.ed} {
		b.Run(alg, func(b *testing.B) {
			v := mustNew(b, Options{Keys: []Key{publicKey(b, "k", key)}})
			token := forge(b, object{"alg": alg, "kid": "k"}, goodClaims(nil), key)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
