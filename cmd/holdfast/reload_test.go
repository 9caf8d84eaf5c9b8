package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newSecretFile saves a new secret, in place of what is there, and returns its key.
func newSecretFile(t *testing.T, path string) auth.Key {
	t.Helper()
	secret := auth.NewSecret()
	_ = os.Remove(path)
	if err := auth.SaveSecret(path, secret); err != nil {
		t.Fatal(err)
	}
	key, err := auth.SecretKey("", secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newReloader makes a reloader as serve does, with a configuration file that the test can change.
func newReloader(t *testing.T, config string) (r *reloader, configFile, secretFile string) {
	t.Helper()
	dir := t.TempDir()
	secretFile = filepath.Join(dir, "secret")
	newSecretFile(t, secretFile)
	configFile = write(t, filepath.Join(dir, "config.yaml"), config)
	s, err := readSettings([]string{"--config=" + configFile, "--jwt-secret-file=" + secretFile})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	verifier, err := s.auth.auth(log)
	if err != nil {
		t.Fatal(err)
	}
	a := newChangingAuth(verifier)
	srv, err := server.New(server.Options{Auth: a, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return &reloader{srv: srv, auth: a, log: log, level: &s.node.levels, now: s}, configFile, secretFile
}

func TestReloadTakesAllOrNothing(t *testing.T) {
	r, file, _ := newReloader(t, "log-level: info\nbeat: 10s\n")
	for name, c := range map[string]struct{ config, says string }{
		"what cannot change":        {"log-level: debug\nbeat: 20s\n", "beat"},
		"what does not exist":       {"log-level: debug\nbeet: 10s\n", "beet"},
		"what is no value":          {"log-level: debug\nmax-connections: many\n", "max-connections"},
		"what is no level":          {"log-level: loud\n", "loud"},
		"half a certificate":        {"log-level: debug\ntls-cert-file: x.pem\n", "tls-key-file"},
		"no file":                   {"log-level: debug\njwt-public-key-file: [/nowhere.pem]\n", "jwt-public-key-file"},
		"what is not YAML":          {"log-level: [debug\n", "YAML"},
		"an algorithm that is none": {"log-level: debug\njwt-algorithms: [none]\n", "none"},
		"a rule that is none":       {"log-level: debug\nconnections: [\"max=3 on=sunday\"]\n", "connections"},
	} {
		write(t, file, c.config)
		changed, err := r.reload(t.Context())
		if err == nil || !strings.Contains(explain(err), c.says) {
			t.Errorf("%s: %v and %v; want a refusal that names %q", name, changed, err, c.says)
		}
		if r.level.Level() != slog.LevelInfo {
			t.Errorf("%s: the level was taken all the same", name)
		}
	}
	write(t, file, "log-level: debug\nbeat: 10s\nmax-connections-per-user: 7\nconnections: [\"max=3 on=reject\"]\n")
	changed, err := r.reload(t.Context())
	slices.Sort(changed)
	if err != nil || !slices.Equal(changed, []string{"connections", "log-level", "max-connections-per-user"}) {
		t.Errorf("got %v and %v", changed, err)
	}
	if r.level.Level() != slog.LevelDebug {
		t.Errorf("the level is %v", r.level.Level())
	}
	// What was taken is what the next is compared with.
	if changed, err := r.reload(t.Context()); err != nil || len(changed) > 0 {
		t.Errorf("a reload without a change: %v and %v", changed, err)
	}
}

// Every name in the list is a setting: a misspelt one would never be taken.
func TestReloadableAreSettings(t *testing.T) {
	s, err := readSettings(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range reloadable {
		if s.flags.Lookup(name) == nil {
			t.Errorf("%s is no setting", name)
		}
	}
}

// A new secret in the same file: tokens of the old one are refused from then on.
func TestReloadTakesNewKeys(t *testing.T) {
	r, _, secret := newReloader(t, "")
	key := newSecretFile(t, secret)
	token, err := auth.Mint(key, auth.Claims{User: "anna", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.auth.Verify(t.Context(), token); holdfast.CodeOf(err) != holdfast.CodeUnauthorized {
		t.Fatalf("before: %v", err)
	}
	if _, err := r.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.auth.Verify(t.Context(), token); err != nil {
		t.Errorf("after: %v", err)
	}
}

// issuer publishes one key over HTTP, and says nothing while it is down.
type issuer struct {
	key  *ecdsa.PrivateKey
	url  string
	down atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if i.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	}))
	t.Cleanup(web.Close)
	i.url = web.URL
	return i
}

// token is one that the issuer signed.
func (i *issuer) token(t *testing.T) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(fmt.Appendf(nil, `{"sub":"anna","exp":%d}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// While the issuer of the keys cannot be reached, a reload keeps those that there are; to another issuer that cannot be reached
// the server does not go over.
func TestReloadKeepsFetchedKeys(t *testing.T) {
	r, config, _ := newReloader(t, "")
	from := newIssuer(t)
	write(t, config, "jwt-key-set-url: "+from.url+"\n")
	if _, err := r.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := func(when string) {
		t.Helper()
		if _, err := r.auth.Verify(t.Context(), from.token(t)); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	good("at first")
	from.down.Store(true)
	write(t, config, "jwt-key-set-url: "+from.url+"\nlog-level: debug\n")
	if _, err := r.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	good("while the issuer is down")
	write(t, config, "jwt-key-set-url: "+from.url+"/elsewhere\n")
	if _, err := r.reload(t.Context()); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("an issuer that does not answer: %v", err)
	}
	good("after a reload that was refused")
}

// certify writes a certificate of this name for 127.0.0.1, signed by itself.
func certify(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
}

// served is the name in the certificate that a server shows; "" while there is no server.
func served(addr string) string {
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // it is its own authority
	if err != nil {
		return ""
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// A process that serves TLS takes a new certificate at SIGHUP; a connection that there is stays, and one that cannot be used is
// not taken.
func TestCertificateIsReloaded(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir, "first")
	p := newProcess(t, "--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem"))
	p.launch()
	await(t, func() bool { return served(p.addr) == "first" })
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer web.CloseIdleConnections()
	await(t, func() bool {
		res, err := web.Get("https://" + p.addr + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusNoContent && res.ProtoMajor == 2
	})
	ws, _, err := websocket.Dial(t.Context(), "wss://"+p.addr+"/v1/ws/1", &websocket.DialOptions{HTTPClient: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	certify(t, dir, "second")
	p.hangUp()
	await(t, func() bool { return served(p.addr) == "second" })
	if err := ws.Ping(ws.CloseRead(t.Context())); err != nil {
		t.Errorf("the connection that was there is gone: %v", err)
	}
	write(t, filepath.Join(dir, "cert.pem"), "half a cert")
	p.hangUp()
	await(t, func() bool { return strings.Contains(p.out.String(), "were not taken") })
	if name := served(p.addr); name != "second" {
		t.Errorf("%q is served", name)
	}
}

func (p *process) hangUp() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
}
