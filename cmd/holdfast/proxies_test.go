package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/debiantest"
	"github.com/holdfast/holdfast/internal/doctor"
)

// A proxyKind is a proxy and how it is started with a configuration of deploy/. The test changes nothing of that but the
// addresses and the certificate.
type proxyKind struct {
	program, config string
	// swaps are what stands in the file and what the test puts there.
	swaps func(f *proxyFiles) []string
	// wrap makes the file complete where it is only a part of one.
	wrap func(config string, f *proxyFiles) string
	args func(f *proxyFiles) []string
}

type proxyFiles struct {
	dir, listen, server          string
	cert, key, both, config, pid string
}

var proxyKinds = []proxyKind{
	{
		program: "nginx", config: "nginx.conf",
		swaps: func(f *proxyFiles) []string {
			return []string{
				"listen 443 ssl http2", "listen " + f.listen + " ssl http2", "127.0.0.1:8080", f.server,
				"/etc/ssl/chat.example.com.crt", f.cert, "/etc/ssl/chat.example.com.key", f.key,
			}
		},
		wrap: func(config string, f *proxyFiles) string {
			return fmt.Sprintf("daemon off; pid %s; error_log stderr warn; worker_shutdown_timeout 30s; events {}\nhttp {\naccess_log off;\n"+
				"client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/p; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;\n%[3]s}\n",
				f.pid, f.dir, config)
		},
		args: func(f *proxyFiles) []string { return []string{"-p", f.dir, "-e", "stderr", "-c", f.config} },
	},
	{
		program: "caddy", config: "Caddyfile",
		swaps: func(f *proxyFiles) []string {
			return []string{"chat.example.com {", "https://" + f.listen + " {\n\ttls " + f.cert + " " + f.key, "127.0.0.1:8080", f.server}
		},
		wrap: func(config string, _ *proxyFiles) string { return "{\n\tadmin off\n\tauto_https off\n}\n" + config },
		args: func(f *proxyFiles) []string { return []string{"run", "--adapter", "caddyfile", "--config", f.config} },
	},
	{
		program: "haproxy", config: "haproxy.cfg",
		swaps: func(f *proxyFiles) []string {
			return []string{"bind :443", "bind " + f.listen, "127.0.0.1:8080", f.server, "/etc/haproxy/chat.example.com.pem", f.both}
		},
		wrap: func(config string, _ *proxyFiles) string { return config },
		args: func(f *proxyFiles) []string { return []string{"-db", "-f", f.config} },
	},
}

// start runs the proxy in front of p, and returns its address and what trusts its certificate.
func (k *proxyKind) start(t *testing.T, p *process) (url string, trust *tls.Config) {
	t.Helper()
	program := debiantest.Find(t, k.program, "deploy/"+k.config)
	f := &proxyFiles{dir: t.TempDir(), listen: freeAddr(t), server: p.addr}
	f.config, f.pid = filepath.Join(f.dir, "config"), filepath.Join(f.dir, "pid")
	trust = f.certify(t)
	f.write(t, f.config, k.wrap(f.swap(t, k), f))

	cmd := exec.Command(program, k.args(f)...)
	cmd.Env = append(os.Environ(), "HOME="+f.dir, "XDG_DATA_HOME="+f.dir, "LD_LIBRARY_PATH="+debiantest.Libraries(t))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", k.program, out.String())
		}
	})
	await(t, func() bool {
		c, err := net.Dial("tcp", f.listen)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "https://" + f.listen, trust
}

// swap fails where the file has not what is to be changed, so that the test does not run something else.
func (f *proxyFiles) swap(t *testing.T, k *proxyKind) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", k.config))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for pair := range slices.Chunk(k.swaps(f), 2) {
		if strings.Count(config, pair[0]) != 1 {
			t.Fatalf("deploy/%s has %q %d times, not once", k.config, pair[0], strings.Count(config, pair[0]))
		}
		config = strings.Replace(config, pair[0], pair[1], 1)
	}
	return config
}

func (f *proxyFiles) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certify makes a certificate for loopback, and returns what trusts it.
func (f *proxyFiles) certify(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "loopback"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	f.cert, f.key, f.both = filepath.Join(f.dir, "cert"), filepath.Join(f.dir, "key"), filepath.Join(f.dir, "both")
	f.write(t, f.cert, cert)
	f.write(t, f.key, secret)
	f.write(t, f.both, cert+secret)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cert))
	return &tls.Config{RootCAs: pool}
}

// proxyIdle is how long connections are left alone behind a proxy.
func proxyIdle() time.Duration {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 5 * time.Minute
	}
	return time.Second
}

// The configurations of deploy/ let through everything that sessions need: streams both ways, silence, the ways round a
// network without WebSockets, and a server that is replaced.
func TestProxies(t *testing.T) {
	for _, k := range proxyKinds {
		t.Run(k.program, func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, "--drain", "2s")
			url, trust := k.start(t, p)
			token := p.token(auth.Claims{User: "anna", Read: []string{"*"}, Send: []string{"*"}})
			err := doctor.Examine(t.Context(), doctor.Options{URL: url, Token: token, Origin: url, Idle: proxyIdle(), TLS: trust},
				func(f doctor.Finding) {
					if f.Level != doctor.OK {
						t.Errorf("%s, %s: %s (%s)", f.Check, f.Level, f.What, f.Do)
					}
				})
			if err != nil {
				t.Fatal(err)
			}
			b := behind{process: p, url: url, trust: trust, token: token}
			b.streams(t)
			b.comesBack(t)
		})
	}
}
