package httpapi

import (
	_ "embed"
	"net/http"
)

// openAPI describes every route. It is written by hand and held to the code by a test.
//
//go:embed openapi.json
var openAPI []byte

func (a *api) getOpenAPI(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	c.wrote = true
	c.w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(openAPI)
	return nil
}
