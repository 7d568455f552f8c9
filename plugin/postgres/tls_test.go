package postgres

// TLS to the database, with verification of both certificates.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// authority issues certificates for a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	folder      string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	a.certificate, a.key = a.issue(t, name, nil)
	return a
}

// file returns the path of a file of the authority.
func (a *authority) file(name string) string { return filepath.Join(a.folder, name) }

// issue creates NAME.crt and NAME.key.
func (a *authority) issue(t *testing.T, name string, address net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: a.certificate == nil,
	}
	if address != nil {
		template.IPAddresses = []net.IP{address}
	}
	parent, signer := template, key
	if a.certificate != nil {
		parent, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".crt", "CERTIFICATE", der)
	a.write(t, name+".key", "PRIVATE KEY", private)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(a.file(name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyTo copies a file to the server's folder with the server as its owner.
func copyTo(t *testing.T, server *pgserver.Server, path, name string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(server.Folder(), name)
	if err := os.WriteFile(target, text, 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Stat(server.Folder())
	if err != nil {
		t.Fatal(err)
	}
	owner := folder.Sys().(*syscall.Stat_t)
	if err := os.Chown(target, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	return target
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	ours, other := newAuthority(t, "authority"), newAuthority(t, "another")
	ours.issue(t, "server", net.IPv4(127, 0, 0, 1))
	ours.issue(t, "sessions", nil)
	other.issue(t, "sessions", nil)
	rules := filepath.Join(ours.folder, "hba")
	families := "local all all trust\nhostssl all all 127.0.0.1/32 cert\n"
	if err := os.WriteFile(rules, []byte(families), 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, file := range map[string]string{
		"ssl_ca_file": ours.file("authority.crt"), "ssl_cert_file": ours.file("server.crt"),
		"ssl_key_file": ours.file("server.key"), "hba_file": rules,
	} {
		server.Exec(t, fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", setting, copyTo(t, server, file, setting)))
	}
	server.Exec(t, "ALTER SYSTEM SET ssl = on", "CREATE ROLE sessions LOGIN",
		"GRANT CREATE ON DATABASE postgres TO sessions")
	server.Stop()
	server.Begin(t)

	settings := func(parameters string) Settings {
		return Settings{
			DSN: fmt.Sprintf(
				"host=127.0.0.1 port=%d user=sessions dbname=postgres %s",
				server.Port,
				parameters,
			),
		}
	}
	certificate := func(a *authority) string {
		return fmt.Sprintf(" sslcert=%s sslkey=%s", a.file("sessions.crt"), a.file("sessions.key"))
	}
	root := "sslmode=verify-full sslrootcert=" + ours.file("authority.crt")
	mustOpen(t, settings(root+certificate(ours)))
	refused(t, settings(root), nil, "does not admit", "valid client certificate")
	refused(t, settings(root+certificate(other)), nil, "does not admit", "valid client certificate")
	refused(
		t,
		settings("sslmode=verify-full sslrootcert="+other.file("another.crt")+certificate(ours)),
		ticketstore.ErrUnavailable, "TLS",
		"unknown authority",
	)
	refused(t, settings("sslmode=disable"), nil, "does not admit", "pg_hba.conf")
}
