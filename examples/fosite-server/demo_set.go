package main

// The demo clients and users that the server starts with.

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The demo clients. The first asks for consent; the operator trusts the second.
const (
	demoAsking  = "demo-photos"
	demoTrusted = "demo-notes"
)

// demoUsers are used if no file of users is given.
var demoUsers = []demoUser{
	{Username: "ann", Password: "ann-demo", subject: "1001", name: "Ann Example", email: "ann@example.com"},
	{Username: "ben", Password: "ben-demo", subject: "1002", name: "Ben Example", email: "ben@example.com"},
}

// demoUser is a user whose password the sign-in page shows.
type demoUser struct {
	Username, Password   string
	subject, name, email string
}

func (d demoUser) user() *user {
	return &user{
		username: d.Username, passwordHash: mustHash(d.Password), subject: d.subject, name: d.name,
		email: d.email,
	}
}

// startDemoClients listens on the two ports after the server's, or on free ports if the server's is free.
// Clients for which secrets has none get a new secret. The returned servers are running.
func startDemoClients(
	ctx context.Context, o *options, issuer string, address net.Addr, secrets map[string]string,
	logger *slog.Logger,
) ([]*demoClient, []*http.Server, error) {
	specs := []struct{ id, name, accent string }{
		{demoAsking, "Demo Photos", "photos"}, {demoTrusted, "Demo Notes", "notes"},
	}
	host, wanted, err := net.SplitHostPort(o.addr)
	if err != nil {
		return nil, nil, err
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "localhost" // demo clients listen on this machine only
	}
	port, _ := strconv.Atoi(wanted)
	if port != 0 {
		port = address.(*net.TCPAddr).Port
	}
	var clients []*demoClient
	var servers []*http.Server
	for i, spec := range specs {
		clientPort := 0
		if port != 0 {
			clientPort = port + 1 + i
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp",
			net.JoinHostPort(host, strconv.Itoa(clientPort)))
		if err != nil {
			closeAll(servers)
			return nil, nil, err
		}
		d := newDemoClient(spec.id, spec.name, spec.accent,
			issuerOf(net.JoinHostPort(host, "0"), listener.Addr()), issuer, logger)
		d.secret = cmp.Or(secrets[d.id], d.secret)
		clients = append(clients, d)
		servers = append(servers, d.serve(ctx, listener))
	}
	for i, d := range clients {
		other := clients[1-i]
		d.others = []link{{Name: other.name, URL: other.url}}
	}
	return clients, servers, nil
}

// runDemo runs only the demo clients until ctx is done, with the secrets that they are registered with.
func runDemo(ctx context.Context, o *options, stdout io.Writer, logger *slog.Logger) error {
	raw, err := readSecret(ctx, o.demoFor, logger)
	if err != nil {
		return fmt.Errorf("-demo-clients: %w", err)
	}
	var registered []struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(raw, &registered); err != nil {
		return fmt.Errorf("-demo-clients: %s: %w", o.demoFor, err)
	}
	address, err := net.ResolveTCPAddr("tcp", o.addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	secrets := map[string]string{}
	for _, client := range registered {
		secrets[client.ID] = client.Secret
	}
	clients, servers, err := startDemoClients(ctx, o, o.issuer, address, secrets, logger)
	if err != nil {
		return err
	}
	for _, d := range clients {
		fmt.Fprintf(stdout, "client: %s %s\n", d.url, d.id)
	}
	<-ctx.Done()
	closeAll(servers)
	return nil
}

func (d *demoClient) serve(ctx context.Context, listener net.Listener) *http.Server {
	server := &http.Server{
		Handler: d.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	server.RegisterOnShutdown(func() { close(d.stop) })
	go serve(context.WithoutCancel(ctx), server, listener, d.logger)
	return server
}

func closeAll(servers []*http.Server) {
	for _, server := range servers {
		_ = server.Close()
	}
}
