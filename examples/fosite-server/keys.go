package main

// The server's secrets: signing key, global secret, admin token.

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v3"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// secrets are the server's secrets, each in a file that only its owner may read. Tokens and cookies survive a
// restart, and are valid at all servers with the same secrets.
type secrets struct {
	// signing signs ID tokens and logout tokens with RS256, which every relying party must support (OpenID
	// Connect Core 1.0, section 15.1).
	signing *jose.JSONWebKey
	// global is fosite's GlobalSecret: it signs codes and tokens, and seals the plugin's data.
	global []byte
	// adminToken grants access to the admin routes.
	adminToken string
}

// dataFiles are the entries of the data folder.
var dataFiles = append([]string{pinFile, "sessions"}, keyFiles...)

// checkDataFolder refuses a folder that other users can write to, and a folder that has only foreign files.
func checkDataFolder(folder string) error {
	info, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkOwner(folder, info); err != nil {
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	// Temporary files left by a crash during the first start do not count.
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return smallfile.IsDraft(e.Name()) })
	ours := func(e fs.DirEntry) bool { return slices.Contains(dataFiles, e.Name()) }
	if len(entries) == 0 || slices.ContainsFunc(entries, ours) {
		return nil
	}
	return fmt.Errorf("%s holds something that is not this server's data: choose an empty folder", folder)
}

// checkOwner refuses a folder in which another user could replace the keys. Systems without owners have no
// modes either.
func checkOwner(folder string, info fs.FileInfo) error {
	owner, known := ownerOf(info)
	mode := info.Mode().Perm()
	switch {
	case known && owner != os.Geteuid():
		return fmt.Errorf("%s belongs to the user id %d, and this server runs as %d: "+
			"run it as that user, or chown -R the folder", folder, owner, os.Geteuid())
	case known && mode&0o022 != 0:
		return fmt.Errorf("%s has mode %04o and can be written to by others: chmod go-w the folder",
			folder, mode)
	}
	return nil
}

// keyFiles are the files of the keys, in the data folder or the folder of -keys.
var keyFiles = []string{"signing-key.pem", "global-secret", "admin-token"}

// keysFolder returns the folder of the keys.
func (o *options) keysFolder() string { return cmp.Or(o.keys, o.data) }

// loadSecrets reads the keys. Missing keys are created in the data folder, but not in a folder shared by
// servers: two servers starting together would create different ones.
func loadSecrets(ctx context.Context, o *options, adminToken string, logger *slog.Logger) (*secrets, error) {
	load := func(name string, create func() ([]byte, error)) (string, []byte, error) {
		path := filepath.Join(o.keysFolder(), name)
		if o.keys == "" {
			content, err := loadOrCreate(ctx, path, logger, create)
			return path, bytes.TrimSpace(content), err
		}
		content, err := readSecret(ctx, path, logger)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: copy it from the data folder of a server that has run alone", err)
		}
		return path, bytes.TrimSpace(content), err
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return nil, err
	}
	path, content, err := load("signing-key.pem", createSigningKey)
	if err != nil {
		return nil, err
	}
	signing, err := parseSigningKey(path, content)
	if err != nil {
		return nil, err
	}
	if path, content, err = load("global-secret", createRandom); err != nil {
		return nil, err
	}
	secret, err := base64.RawURLEncoding.DecodeString(string(content))
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("%s: is not 32 bytes in base64", path)
	}
	if adminToken == "" {
		if path, content, err = load("admin-token", createRandom); err != nil {
			return nil, err
		}
		adminToken = string(content)
	}
	if len(adminToken) < minAdminToken {
		err := fmt.Errorf("%s: is shorter than %d characters", path, minAdminToken)
		if o.keys == "" {
			err = fmt.Errorf("%w: remove it, and a new one is made", err)
		}
		return nil, err
	}
	return &secrets{signing: signing, global: secret, adminToken: adminToken}, nil
}

// minAdminToken is the minimum length of the admin token in characters. Only its length protects it from
// guessing.
const minAdminToken = 16

// readAdminToken returns the token in a file, without the trailing newline.
func readAdminToken(ctx context.Context, path string, logger *slog.Logger) (string, error) {
	raw, err := readSecret(ctx, path, logger)
	token := strings.TrimSpace(string(raw))
	if err == nil && len(token) < minAdminToken {
		err = fmt.Errorf("%s has fewer than %d characters", path, minAdminToken)
	}
	return token, err
}

// readSecret returns the content of a file with a secret. It refuses a file that others can access, and logs
// a warning if the group can.
func readSecret(ctx context.Context, path string, logger *slog.Logger) ([]byte, error) {
	content, group, err := smallfile.ReadSecret(path)
	if group {
		logger.WarnContext(ctx, "the group of a file with a secret has access to it", "path", path)
	}
	return content, err
}

// loadOrCreate returns the secret in a file, creating it if it is missing.
func loadOrCreate(
	ctx context.Context, path string, logger *slog.Logger, create func() ([]byte, error),
) ([]byte, error) {
	content, err := readSecret(ctx, path, logger)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	if content, err = create(); err != nil {
		return nil, err
	}
	return content, smallfile.Write(path, content, 0o600)
}

func parseSigningKey(path string, content []byte) (*jose.JSONWebKey, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s: is not a PEM file", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: is not an RSA key", path)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(public)
	kid := base64.RawURLEncoding.EncodeToString(sum[:12])
	return &jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: string(jose.RS256), Use: "sig"}, nil
}

func createSigningKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func createRandom() ([]byte, error) { return []byte(randomText()), nil }

// signingKey returns the signing key for fosite and the session manager.
func (s *secrets) signingKey(context.Context) (any, error) { return s.signing, nil }

// randomText returns 256 random bits in base64.
func randomText() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}
