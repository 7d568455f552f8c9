package logout

// A delivery: look up the client, sign a logout token, post it, judge the response, settle (rule 7).

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// maxAnswer and answerTime bound reading a response body.
	maxAnswer  = 16 << 10
	answerTime = time.Second
	// maxAnswerHeader bounds the header of a response.
	maxAnswerHeader = 64 << 10
	// settleAttempts and settlePause bound the retries of recording an outcome.
	settleAttempts = 4
	settlePause    = 100 * time.Millisecond
)

// BadRequestAttempts is after how many attempts a 400 without an OAuth error refuses the notification, if the
// attempt before was answered the same way: one 400 may come from a proxy whose client is still starting.
const BadRequestAttempts = 5

// pingAfter is the silence after which an HTTP/2 connection is checked by a ping.
const pingAfter = 10 * time.Second

// newHTTPClient returns a client that follows no redirects (rule 7), uses only the configured proxy, and
// connects only to addresses that the guard allows.
func newHTTPClient(config *DispatcherConfig, guard *guard) *http.Client {
	transport := &http.Transport{
		DialContext:       (&connector{newDialer(config, guard), guard, config}).DialContext,
		ForceAttemptHTTP2: true,
		// A connection whose other end has gone is closed, and not used until TCP gives it up.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter},
		DisableCompression:     true,
		MaxIdleConns:           config.Concurrency,
		MaxIdleConnsPerHost:    config.PerClient,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    config.Timeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
	if config.TLS != nil {
		transport.TLSClientConfig = config.TLS.Clone()
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newDialer returns a dialer whose guard checks each address after name resolution, just before connecting:
// checking the name earlier would allow DNS rebinding.
func newDialer(config *DispatcherConfig, guard *guard) *net.Dialer {
	return &net.Dialer{Timeout: config.Timeout, Control: guard.control}
}

// attempt is the result of one delivery.
type attempt struct {
	state      State  // Delivered, Refused or Pending
	problem    string // empty when delivered
	retryAfter string // the header, when there was one
	badRequest bool   // a 400 without an OAuth error
}

func failedf(format string, args ...any) attempt {
	return attempt{state: Pending, problem: fmt.Sprintf(format, args...)}
}

// deliver makes one attempt and records its outcome.
func (d *Dispatcher) deliver(work *Delivery) {
	ctx, cancel := context.WithTimeout(d.base, d.config.Timeout)
	defer cancel()
	done := func(Outcome) {}
	if d.config.Delivering != nil {
		ctx, done = d.config.Delivering(ctx, work)
	}
	tried := d.try(ctx, work)
	outcome := d.outcome(work, tried)
	if tried.state == Pending && d.base.Err() != nil {
		outcome = Outcome{State: Pending, NextAttempt: d.now(), LastError: "the server was shutting down"}
	}
	log := d.config.Logger.With("notification_id", work.ID, "client_id", work.ClientID,
		"session_id", work.SessionID, "state", outcome.State, "attempt", work.Attempts+1)
	if outcome.State == Delivered {
		log.InfoContext(ctx, "client notified of the end of a session")
	} else {
		log.WarnContext(ctx, "client not notified of the end of a session", "problem", outcome.LastError,
			"next_attempt", outcome.NextAttempt)
	}
	recorded, err := d.settle(ctx, work, outcome)
	done(outcome)
	if err != nil {
		log.ErrorContext(ctx, "outcome of a delivery not recorded: it may be repeated", "error", err)
	} else if !recorded {
		log.WarnContext(ctx, "outcome of a delivery not recorded: its claim has lapsed")
	}
	if recorded && d.config.Settled != nil {
		d.config.Settled(&work.Notification, outcome)
	}
}

func (d *Dispatcher) try(ctx context.Context, work *Delivery) attempt {
	// The store is not trusted: signing for a different issuer would let it log out that issuer's users (rule
	// 13).
	if len(d.config.Issuers) > 0 && !slices.Contains(d.config.Issuers, work.Issuer) {
		return failedf("the notification is of another issuer")
	}
	// The URI is looked up for each delivery, so that a corrected URI is used by the next one (rule 7).
	client, err := d.config.Clients.LogoutClient(ctx, work.ClientID)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return failedf("the client is not registered")
	case err != nil:
		d.config.Logger.ErrorContext(ctx, "client cannot be looked up",
			"client_id", work.ClientID, "error", err)
		return failedf("the client cannot be looked up")
	case client == nil || client.BackChannelLogoutURI == "":
		return failedf("the client has no backchannel_logout_uri")
	}
	if err := checkURI("backchannel_logout_uri", client.BackChannelLogoutURI, true); err != nil {
		return failedf("%s", err)
	}
	claims, err := TokenClaims(&work.Notification, client, d.config.TellReason, d.now())
	if err != nil {
		return failedf("%s", err)
	}
	token, err := d.config.Signer.Sign(ctx, claims)
	if err != nil || token == "" {
		d.config.Logger.ErrorContext(ctx, "logout token cannot be signed", "client_id", work.ClientID,
			"error", err)
		return failedf("the logout token cannot be signed")
	}
	return d.post(ctx, client.BackChannelLogoutURI, token)
}

// post sends the token as specified by Back-Channel Logout 1.0, section 2.5.
func (d *Dispatcher) post(ctx context.Context, uri, token string) attempt {
	// Reading the response body has a shorter timeout than the request.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body := strings.NewReader(url.Values{"logout_token": {token}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, body)
	if err != nil {
		return failedf("the backchannel_logout_uri is not a URI")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "fosite-sessions")
	if d.config.Proxy != nil {
		proxy, err := d.config.Proxy(request)
		if err != nil {
			return failedf("the proxy of the request cannot be determined")
		}
		request = request.WithContext(context.WithValue(ctx, proxyKey{}, proxy))
	}
	response, err := d.http.Do(request)
	if err != nil {
		return failedf("%s", d.describe(err))
	}
	defer response.Body.Close()
	defer time.AfterFunc(answerTime, cancel).Stop()
	// A truncated body has no error code.
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return judge(response, answer)
}

// judge returns the meaning of a response. A 400 is final only with an OAuth error: without one it may come
// from a proxy or an outage (Back-Channel Logout 1.0, section 2.8).
func judge(response *http.Response, answer []byte) attempt {
	switch response.StatusCode {
	case http.StatusOK, http.StatusNoContent:
		// Back-Channel Logout 1.0, section 2.8: success is 200, or 204 from frameworks that send it.
		return attempt{state: Delivered}
	case http.StatusBadRequest:
		// Section 2.8: the request was invalid or the logout failed. It is not retried (rule 7).
		if code := errorCode(answer); code != "" {
			return attempt{state: Refused, problem: "the client answered 400, " + code}
		}
	}
	tried := failedf("the client answered %d", response.StatusCode)
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		tried.problem += ": redirects are not followed"
	}
	tried.retryAfter = response.Header.Get("Retry-After")
	tried.badRequest = response.StatusCode == http.StatusBadRequest
	return tried
}

// errorCode returns the "error" member of a JSON body if it has the form of an error code (Back-Channel
// Logout 1.0, section 2.8).
func errorCode(answer []byte) string {
	var body struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(answer, &body) != nil || len(body.Error) > 64 {
		return ""
	}
	for _, c := range body.Error {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' &&
			c != '.' {
			return ""
		}
	}
	return body.Error
}

// describe returns the problem without the URI, whose query may hold a secret, and without parts of the
// response, which may echo the logout token.
func (d *Dispatcher) describe(err error) string {
	if failure, ok := errors.AsType[*url.Error](err); ok {
		err = failure.Err
	}
	failed, ok := errors.AsType[net.Error](err)
	if errors.Is(err, context.DeadlineExceeded) || ok && failed.Timeout() {
		return fmt.Sprintf("no answer within %s", d.config.Timeout)
	}
	operation, ok := errors.AsType[*net.OpError](err)
	if ok && (operation.Op == "dial" || operation.Op == "proxyconnect") {
		return operation.Error()
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the client's certificate is not accepted: " + certificate.Err.Error()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the client does not speak TLS there"
	}
	return "the connection ended without an answer that is HTTP"
}

// outcome decides the next state of the notification. The last attempt is made when the retry window closes.
func (d *Dispatcher) outcome(work *Delivery, tried attempt) Outcome {
	out := Outcome{State: tried.state, LastError: cut(tried.problem, MaxLastError)}
	if tried.state != Pending {
		return out
	}
	if tried.badRequest && work.Attempts+1 >= BadRequestAttempts && work.LastError == out.LastError {
		out.State = Refused
		return out
	}
	now := d.now()
	if !now.Before(work.GiveUpAt) {
		out.State = GivenUp
		return out
	}
	out.NextAttempt = now.Add(backoff(d.config.RetryBase, d.config.RetryMost, work.Attempts))
	if after, ok := parseRetryAfter(tried.retryAfter, now); ok && after.After(out.NextAttempt) {
		out.NextAttempt = after.UTC()
	}
	if out.NextAttempt.After(work.GiveUpAt) {
		out.NextAttempt = work.GiveUpAt
	}
	return out
}

// settle records the outcome, even while the Dispatcher closes. If the claim is outdated it records nothing:
// the delivery with the newer claim does.
func (d *Dispatcher) settle(
	ctx context.Context, work *Delivery, outcome Outcome,
) (recorded bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	pause := settlePause
	for try := 1; ; try++ {
		err := d.config.Store.Settle(ctx, work.ID, work.Claim, outcome, d.now())
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, ErrOutdated), errors.Is(err, ticketstore.ErrNotFound):
			return false, nil
		case try == settleAttempts || ctx.Err() != nil || !errors.Is(err, ticketstore.ErrUnavailable):
			return false, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false, err
		}
		pause *= 2
	}
}

// cut truncates a text to at most limit bytes of valid UTF-8.
func cut(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
