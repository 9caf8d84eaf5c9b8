package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/demo"
	"github.com/holdfast/holdfast/internal/faults"
	"github.com/holdfast/holdfast/server"
)

// devTokenLife is how long the demo's tokens last: short, so that the refresh of tokens is seen at work.
const devTokenLife = 10 * time.Minute

func devCommand() *cobra.Command {
	var n nodeSettings
	cmd := &cobra.Command{
		Use: "dev", Short: "Try it: a server with a store in a local folder, and a demo in the browser", Args: cobra.NoArgs,
		Long: "Start a server for development: its store is in a local folder, everybody who opens the page is signed in, and a\n" +
			"fault proxy stands in front of it, so that connections can be cut from the page. Never expose it to others.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settle(cmd); err != nil {
				return err
			}
			return dev(cmd.Context(), &n, cmd.OutOrStdout())
		},
	}
	n.register(cmd.Flags(), "127.0.0.1:8080")
	n.admin.register(cmd.Flags(), "127.0.0.1:0")
	return cmd
}

func dev(ctx context.Context, n *nodeSettings, out io.Writer) error {
	log, err := n.logger()
	if err != nil {
		return err
	}
	front, err := listen("addr", n.addr)
	if err != nil {
		return err
	}
	defer front.Close()
	// The server itself listens where only the proxy finds it.
	back, err := listen("addr", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer back.Close()
	db, err := n.open(log)
	if err != nil {
		return err
	}
	secret, err := auth.LoadOrCreateSecret(filepath.Join(n.data, devSecret))
	if err != nil {
		return errors.Join(err, db.Close())
	}
	d := &devMode{secret: secret, proxy: faults.New(front, back.Addr().String())}
	defer d.proxy.Close()
	verify, err := d.auth()
	if err != nil {
		return errors.Join(err, db.Close())
	}
	d.srv, err = n.node(db, verify, log)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	page := demo.New(demo.Options{
		API: "http://" + back.Addr().String(), BackendToken: d.backendToken, UserToken: d.userToken, Line: d.line, Logger: log,
	})
	operator, err := d.operator(n, log)
	if err != nil {
		return errors.Join(err, d.srv.Close())
	}
	fmt.Fprintf(out, "\n  Holdfast, development mode: everybody who opens this page is signed in. Do not expose it.\n\n"+
		"      %s\n\n%s  data in %s; stop with Ctrl-C\n\n", pageURL(front.Addr()), operator.greeting(n), n.data)
	return errors.Join(d.run(ctx, n, page, back), operator.stop(), d.srv.Close())
}

// devSecret is the file, in the data folder, of the secret that development tokens are signed with.
const devSecret = "dev.secret"

// devLook and devAct are the files, in the data folder, of the operator's page's passwords.
const devLook, devAct = "dev.look.secret", "dev.act.secret"

// operator serves the operator's page, with passwords that are made when there are none.
func (d *devMode) operator(n *nodeSettings, log *slog.Logger) (*adminPage, error) {
	for _, f := range []struct {
		path *string
		name string
	}{{&n.admin.passwordFile, devLook}, {&n.admin.actPasswordFile, devAct}} {
		if *f.path == "" {
			*f.path = filepath.Join(n.data, f.name)
			if _, err := auth.LoadOrCreateSecret(*f.path); err != nil {
				return nil, err
			}
		}
	}
	return n.admin.serve(n, d.srv, log)
}

// greeting tells where the operator's page is.
func (p *adminPage) greeting(n *nodeSettings) string {
	if p.url == "" {
		return ""
	}
	return fmt.Sprintf("  The operator's page is at %s, for any name and the password in %s\n  (to act too: %s).\n\n",
		p.url, n.admin.passwordFile, n.admin.actPasswordFile)
}

// pageURL is where to open the page: a wildcard address is reached by its loopback name.
func pageURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String() + "/"
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// devMode is what the development mode adds to a node.
type devMode struct {
	secret []byte
	proxy  *faults.Proxy
	srv    *server.Server
}

func (d *devMode) auth() (server.Auth, error) {
	key, err := server.SecretKey("", d.secret)
	if err != nil {
		return nil, err
	}
	return server.NewJWT(server.JWTOptions{Keys: []server.Key{key}})
}

func (d *devMode) run(ctx context.Context, n *nodeSettings, page *demo.Demo, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("/v1/", d.srv)
	mux.Handle("/healthz", d.srv)
	mux.Handle("/readyz", d.srv)
	mux.Handle("/", page)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bot := make(chan error, 1)
	go func() { bot <- page.Run(ctx) }() // ends with ctx; received below
	stopSides, err := n.sides(d.srv)
	if err == nil {
		defer stopSides()
		err = runNode(ctx, n, d.srv, mux, l)
	}
	cancel()
	return errors.Join(err, <-bot)
}

func (d *devMode) mint(c auth.Claims) (string, error) {
	key, err := auth.SecretKey("", d.secret)
	if err != nil {
		return "", err
	}
	return auth.Mint(key, c)
}

func (d *devMode) backendToken() (string, error) {
	return d.mint(auth.Claims{Backend: true, Expires: time.Now().Add(time.Minute)})
}

func (d *devMode) userToken(u holdfast.UserID) (string, time.Time, error) {
	expires := time.Now().Add(devTokenLife)
	p := demo.Patterns()
	token, err := d.mint(auth.Claims{User: u, Read: p, Send: p, Stop: p, Expires: expires})
	return token, expires, err
}

// line does to a connection what the page asks for.
func (d *devMode) line(id holdfast.ConnID, action string) error {
	remote, ok := d.srv.RemoteOf(id)
	if !ok {
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no such connection; it may have ended")
	}
	link, ok := d.proxy.Find(remote)
	if !ok {
		return holdfast.Errorf(holdfast.CodeNotFound, "the connection did not come through the fault proxy")
	}
	if action == "cut" {
		link.Cut()
	} else {
		link.Blackhole()
	}
	return nil
}
