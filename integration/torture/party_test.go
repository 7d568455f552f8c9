package torture

// Relying parties that record logout tokens.

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"
)

// parties are the relying parties. Until they behave they answer logout tokens slowly, wrongly or never;
// "mute" never answers.
type parties struct {
	servers []*httptest.Server
	clients map[string]string // logout URIs by client id
	history *history
	behave  atomic.Bool
}

func newParties(history *history) *parties {
	p := &parties{clients: map[string]string{}, history: history}
	for _, id := range []string{"shop", "mail", "photos", "mute"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.backChannel(w, r, id)
		}))
		p.servers = append(p.servers, server)
		p.clients[id] = server.URL + "/backchannel"
	}
	return p
}

func (p *parties) close() {
	for _, server := range p.servers {
		server.CloseClientConnections()
		server.Close()
	}
}

func (p *parties) backChannel(w http.ResponseWriter, r *http.Request, id string) {
	start := time.Now()
	sid, jti, err := readLogoutToken(r, id)
	if err != nil {
		p.history.add(event{
			Kind: told, Start: start, End: start, Outcome: wrong, Problem: err.Error(), Client: id,
		})
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !p.behave.Load() {
		mood := rand.IntN(100)
		switch {
		case id == "mute" || mood < 5: // never
			p.snub(start, sid, id)
			select {
			case <-r.Context().Done():
			case <-time.After(10 * deliveryTimeout):
			}
			return
		case mood < 15: // wrongly
			p.snub(start, sid, id)
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader([]int{
				http.StatusInternalServerError, http.StatusFound, http.StatusNotFound,
				http.StatusUnauthorized,
			}[mood%4])
			_, _ = w.Write(make([]byte, 100<<10))
			return
		case mood < 30: // slowly
			time.Sleep(rand.N(deliveryTimeout / 2))
		}
	}
	p.history.add(event{
		Kind: told, Start: start, End: time.Now(), Outcome: done, Session: sid, Client: id, ID: jti,
	})
}

// snub records a logout token that is answered wrongly or not at all.
func (p *parties) snub(start time.Time, sid, id string) {
	p.history.add(event{Kind: snubbed, Start: start, End: start, Session: sid, Client: id})
}

// readLogoutToken reads the claims. Other tests, with strict relying parties, check signature and
// completeness.
func readLogoutToken(r *http.Request, id string) (sid, jti string, err error) {
	parts := strings.Split(r.PostFormValue("logout_token"), ".")
	if len(parts) != 3 {
		return "", "", errors.New("not a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", err
	}
	var claims struct {
		SID string `json:"sid"`
		JTI string `json:"jti"`
		Aud any    `json:"aud"`
		Exp int64  `json:"exp"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return "", "", err
	}
	audience := fmt.Sprint(claims.Aud)
	switch {
	case claims.SID == "" || claims.JTI == "":
		return "", "", errors.New("a logout token without sid or jti")
	case audience != id && audience != "["+id+"]":
		return "", "", fmt.Errorf("a logout token for %s", audience)
	case time.Now().After(time.Unix(claims.Exp, 0)):
		return "", "", errors.New("an expired logout token")
	}
	return claims.SID, claims.JTI, nil
}
