package main

import (
	"net/http"

	"github.com/holdfast/holdfast/server"
)

// metricsServer serves /metrics, /healthz and /readyz on an address of their own, if one is given.
func metricsServer(addr string, srv *server.Server) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", srv.Metrics())
	mux.Handle("GET /healthz", srv)
	mux.Handle("GET /readyz", srv)
	_, stop, err = sideServer("metrics-addr", addr, newSide(mux))
	return stop, err
}
