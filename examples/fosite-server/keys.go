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
	"encoding/hex"
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

// secrets are what the server keeps in files, each in one of its own that only its owner may read, so that
// tokens and cookies outlive a restart, and are good at all servers that have the same.
type secrets struct {
	// signing signs ID tokens and logout tokens. RS256, which every relying party must know (OpenID Connect
	// Core 1.0, section 15.1).
	signing *jose.JSONWebKey
	// global is fosite's GlobalSecret: it signs codes and tokens, and seals what the plugin stores.
	global []byte
	// adminToken opens the admin routes.
	adminToken string
}

// dataFiles are what the data folder holds.
var dataFiles = append([]string{pinFile, "sessions"}, keyFiles...)

// checkDataFolder refuses a folder that is not this user's alone to write to, and one that holds nothing of
// ours but something else.
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
	// What a crash in the very first moment has left is nothing.
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return smallfile.IsDraft(e.Name()) })
	if len(entries) == 0 {
		return nil
	}
	for _, entry := range entries {
		if slices.Contains(dataFiles, entry.Name()) {
			return nil
		}
	}
	return fmt.Errorf("%s holds something that is not this server's data: choose an empty folder", folder)
}

// checkOwner refuses a folder in which another user could put keys in the place of ours. A system that knows
// no owners has no modes either.
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

// keyFiles are the keys' files, in the data folder or where -keys says.
var keyFiles = []string{"signing-key.pem", "global-secret", "admin-token"}

// keysFolder is where they are.
func (o *options) keysFolder() string { return cmp.Or(o.keys, o.data) }

// loadSecrets reads the keys. In the data folder those that are missing are made; where servers share them
// they are not: of two servers that start together each would have its own.
func loadSecrets(ctx context.Context, o *options, adminToken string, logger *slog.Logger) (*secrets, error) {
	load := func(name string, create func() ([]byte, error)) (string, []byte, error) {
		path := filepath.Join(o.keysFolder(), name)
		if o.keys == "" {
			content, err := loadOrCreate(ctx, path, logger, create)
			return path, content, err
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

// minAdminToken is how many characters the admin token has at least: it is guarded against guessing by its
// length alone.
const minAdminToken = 16

// readAdminToken returns the token in a file, without the end of its line.
func readAdminToken(ctx context.Context, path string, logger *slog.Logger) (string, error) {
	raw, err := readSecret(ctx, path, logger)
	token := strings.TrimSpace(string(raw))
	if err == nil && len(token) < minAdminToken {
		err = fmt.Errorf("%s has fewer than %d characters", path, minAdminToken)
	}
	return token, err
}

// readSecret returns the content of a file with a secret. It is one rule for all of them: others may not
// access it, and that the file's group may is worth a warning.
func readSecret(ctx context.Context, path string, logger *slog.Logger) ([]byte, error) {
	content, group, err := smallfile.ReadSecret(path)
	if group {
		logger.WarnContext(ctx, "the group of a file with a secret has access to it", "path", path)
	}
	return content, err
}

// loadOrCreate returns the secret in a file, creating it first where it is missing.
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

// signingKey is fosite's and the session manager's way to the key.
func (s *secrets) signingKey(context.Context) (any, error) { return s.signing, nil }

// randomText returns 256 random bits in base64.
func randomText() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}

// randomID returns 128 random bits in hex.
func randomID() string {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // it never fails
	return hex.EncodeToString(raw)
}
