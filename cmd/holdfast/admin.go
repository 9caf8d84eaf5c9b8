package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/stranger"
	"github.com/holdfast/holdfast/server"
)

// adminSettings are those of the operator's page.
type adminSettings struct {
	addr, passwordFile, actPasswordFile, auditFile string
}

func (a *adminSettings) register(f *pflag.FlagSet, addr string) {
	f.StringVar(&a.addr, "admin-addr", addr, "address of the operator's page; empty for none. Whoever reaches it and knows the password sees who is connected")
	f.StringVar(&a.passwordFile, "admin-password-file", "", "file with the password of the operator's page; holdfast token --new-secret makes one")
	f.StringVar(&a.actPasswordFile, "admin-act-password-file", "", "file with the password that lets an operator act too; without one the page is for looking only")
	f.StringVar(&a.auditFile, "audit-file", "", "file that each act of an operator is appended to before it is done; default: audit.log in the data folder")
}

// readPassword reads one as secrets are read: a file that others may read is refused.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	secret, err := auth.LoadSecret(path)
	return string(secret), err
}

// adminPage serves the operator's page until stop is called.
type adminPage struct {
	stop func() error
	// url is where it is; empty if there is none.
	url string
}

// serve starts the operator's page, if an address is given.
func (a *adminSettings) serve(n *nodeSettings, srv *server.Server, log *slog.Logger) (*adminPage, error) {
	none := &adminPage{stop: func() error { return nil }}
	if a.addr == "" {
		return none, nil
	}
	if a.passwordFile == "" {
		return none, holdfast.Errorf(holdfast.CodeInvalid, "the operator's page at --admin-addr needs a password: set --admin-password-file")
	}
	look, err := readPassword(a.passwordFile)
	if err != nil {
		return none, err
	}
	act, err := readPassword(a.actPasswordFile)
	if err != nil {
		return none, err
	}
	audit, err := a.openAudit(n.data)
	if err != nil {
		return none, err
	}
	page, err := srv.Admin(server.AdminOptions{Password: look, ActPassword: act, Audit: audit, Logger: log})
	if err != nil {
		return none, errors.Join(err, audit.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { // ends with ctx; awaited by stop
		defer close(ran)
		page.Run(ctx)
	}()
	web := newSide(page)
	stranger.Bound(web, strangerTimeout)
	url, stop, err := sideServer("admin-addr", a.addr, web)
	all := func() error {
		stop()
		cancel()
		<-ran
		return audit.Close()
	}
	if err != nil {
		return none, errors.Join(err, all())
	}
	return &adminPage{stop: all, url: url}, nil
}

func (a *adminSettings) openAudit(data string) (io.WriteCloser, error) {
	path := a.auditFile
	if path == "" {
		path = filepath.Join(data, "audit.log")
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the audit log cannot be opened; set --audit-file")
	}
	return f, nil
}

// sideTimeout is how long an answer beside the clients' may take; a profile, that much longer than what it is to cover.
const sideTimeout = time.Minute

// newSide makes a server for what stands on an address of its own: each request, and its answer, comes to an end.
func newSide(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: strangerTimeout, ReadTimeout: strangerTimeout, WriteTimeout: sideTimeout, IdleTimeout: idleTimeout,
	}
}

// sideServer has s serve on an address of its own until stop is called.
func sideServer(flag, addr string, s *http.Server) (url string, stop func(), err error) {
	if addr == "" {
		return "", func() {}, nil
	}
	l, err := listen(flag, addr)
	if err != nil {
		return "", func() {}, err
	}
	done := make(chan struct{})
	go func() { // ends when stop closes the server, and is waited for there
		defer close(done)
		_ = s.Serve(l)
	}()
	return pageURL(l.Addr()), func() {
		_ = s.Close()
		<-done
	}, nil
}
