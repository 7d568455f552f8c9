//go:build rp && linux

package integration

// nginx with its default buffers as a proxy.

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// nginxConfig keeps the default proxy_buffer_size: one page of memory, into which all headers of a response
// must fit.
const nginxConfig = `
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	server {
		listen %s;
		location / { proxy_pass %s; }
	}
}
`

// TestRealProxySignOutOfAllClients: a session with the maximum number of front-channel clients is signed out
// behind nginx, which answers 502 if the response headers are too long.
func TestRealProxySignOutOfAllClients(t *testing.T) {
	t.Parallel()
	signOutOfAllBehind(t, func(target *url.URL) (address string) { return startNginx(t, target) })
}

// startNginx runs nginx in one process until the test ends.
func startNginx(t *testing.T, target *url.URL) (address string) {
	t.Helper()
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen, folder := reserved.Addr().String(), t.TempDir()
	config := fmt.Sprintf(strings.ReplaceAll(nginxConfig, "{folder}", folder), listen, target)
	path := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // may not be in PATH
	}
	command := exec.Command(program, "-e", "stderr", "-p", folder, "-c", path)
	var said testenv.Log
	command.Stdout, command.Stderr = &said, &said
	if err := reserved.Close(); err != nil {
		t.Fatal(err)
	}
	process := testenv.Start(t, command)
	testenv.Eventually(t, "nginx listening", func() bool {
		select {
		case <-process.Ended():
			t.Fatalf("nginx has ended:\n%s", said.Tail(4<<10))
		default:
		}
		connection, err := net.Dial("tcp", listen)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	t.Cleanup(func() {
		process.Kill()
		if t.Failed() {
			t.Logf("nginx said:\n%s", said.Tail(8<<10))
		}
	})
	return "http://" + listen
}
