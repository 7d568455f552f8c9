package main

// The HTTP/1.1 client does as little work as possible, because it shares the machine with the servers.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
)

// answer is an HTTP response. Its body is valid until the asker's next request.
type answer struct {
	status   int
	location string
	cookie   string // name=value
	body     []byte
}

// asker sends requests sequentially.
type asker interface {
	ask(request []byte) (*answer, error)
}

// conn is an asker over a persistent connection.
type conn struct {
	net.Conn
	reader *bufio.Reader
	last   answer
	buffer bytes.Buffer
}

var _ asker = (*conn)(nil)

func dial(ctx context.Context, address string) (*conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, reader: bufio.NewReader(c)}, nil
}

func (c *conn) ask(request []byte) (*answer, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	fields := bytes.Fields(line)
	if len(fields) < 2 {
		return nil, fmt.Errorf("no status line: %q", line)
	}
	c.last = answer{}
	if c.last.status, err = strconv.Atoi(string(fields[1])); err != nil {
		return nil, err
	}
	length := -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		name, value, found := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		if !found {
			break
		}
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		case "Location":
			c.last.location = string(value)
		case "Set-Cookie":
			cookie, _, _ := bytes.Cut(value, []byte(";"))
			c.last.cookie = string(cookie)
		}
	}
	c.buffer.Reset()
	if length >= 0 {
		_, err = io.CopyN(&c.buffer, c.reader, int64(length))
	} else {
		// net/http sends longer bodies chunked.
		if _, err = c.buffer.ReadFrom(httputil.NewChunkedReader(c.reader)); err == nil {
			_, err = c.reader.Discard(len("\r\n"))
		}
	}
	c.last.body = c.buffer.Bytes()
	return &c.last, err
}

// direct is an asker that calls a handler in this process, without a network.
type direct struct {
	handler http.Handler
	reader  bytes.Reader
	buffer  *bufio.Reader
}

var _ asker = (*direct)(nil)

func newDirect(handler http.Handler) *direct {
	d := &direct{handler: handler}
	d.buffer = bufio.NewReader(&d.reader)
	return d
}

func (d *direct) ask(request []byte) (*answer, error) {
	d.reader.Reset(request)
	d.buffer.Reset(&d.reader)
	r, err := http.ReadRequest(d.buffer)
	if err != nil {
		return nil, err
	}
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	a := &answer{status: w.Code, location: w.Header().Get("Location"), body: w.Body.Bytes()}
	if set := w.Header().Get("Set-Cookie"); set != "" {
		cookie, err := http.ParseSetCookie(set)
		if err != nil {
			return nil, err
		}
		a.cookie = cookie.Name + "=" + cookie.Value
	}
	return a, nil
}

// get and post return encoded requests.
func get(path, cookie string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\n\r\n", path, cookie)
}

func post(path string, form url.Values) []byte {
	body := form.Encode()
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		path, authorization(), len(body), body)
}

func authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":"+clientSecret))
}

var errAnswer = errors.New("the server did not do what it was asked for")

// want checks the status of an answer: want(a.ask(request))(status).
func want(a *answer, err error) func(status int) (*answer, error) {
	return func(status int) (*answer, error) {
		if err == nil && a.status != status {
			err = fmt.Errorf("%w: status %d instead of %d: %s", errAnswer, a.status, status, a.body)
		}
		return a, err
	}
}

// member returns a string member of a JSON object without escapes.
func member(object []byte, name string) string {
	_, after, _ := bytes.Cut(object, []byte(`"`+name+`":"`))
	value, _, _ := bytes.Cut(after, []byte(`"`))
	return string(value)
}
