package admin

// GET /openapi.json.

import (
	_ "embed" // the contract
	"net/http"
)

// contract describes the routes of this package and of hostadapter/account in OpenAPI 3.1. It is written by
// hand; tests check every response against it (integration/contract).
//
//go:embed openapi.json
var contract []byte

func getContract(w http.ResponseWriter, _ *http.Request, _ *audit) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(contract) // an error means that the client is gone
	return nil
}
