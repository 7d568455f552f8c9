package plugin

// The configuration of Open, and the checks of the binary before it is started.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Defaults of Config.
const (
	DefaultStartTimeout    = 30 * time.Second
	DefaultCallTimeout     = 5 * time.Second
	DefaultLongCallTimeout = time.Minute
	DefaultCloseTimeout    = 10 * time.Second
	DefaultHealthTimeout   = 2 * time.Second
	// DefaultCache is in bytes.
	DefaultCache = 64 << 20
)

// Config configures a plugin in its host.
type Config struct {
	// Path is the plugin's binary. A name without a slash is looked up in PATH. Required.
	Path string
	// Args are the binary's arguments. Our plugins take none.
	Args []string
	// Env are "NAME=value" entries of the plugin's environment. The plugin does not inherit the host's
	// environment.
	Env []string
	// Settings are marshalled to JSON and passed to the backend, which rejects unknown ones. Nil means {}.
	Settings any
	// Checksum is the SHA-256 of the binary in hex. A binary with a different sum is not started. If empty,
	// any binary is started and its sum is logged. The sum is computed just before the start, so other users
	// must not be able to write the binary or its folder.
	Checksum string
	// StoreID is the required id of the store (ticketstore.Description.StoreID). A store with a different id,
	// or no store, is refused with ticketstore.ErrOtherStore, and nothing is created. If empty, the ids in
	// Open's context apply (ticketstore.WithStoreIDs), of which there may be several; without any, an
	// existing store is opened or a new one created. A restarted plugin must serve the store that was opened
	// first (rule 11).
	StoreID string
	// SocketDir is the parent of the socket's folder, os.TempDir() by default (TMPDIR). Unix limits a socket
	// path to about 100 bytes, of which we need 40.
	SocketDir string
	// StartTimeout bounds the start: process, handshake, and opening the backend. The badger plugin waits
	// within it for an exiting process to release the folder. A process that sends no handshake within a
	// third of it is killed, and one more is started. DefaultStartTimeout if zero.
	StartTimeout time.Duration
	// CallTimeout bounds each call whose context has no earlier deadline: DefaultCallTimeout if zero. A call
	// that times out returns ticketstore.ErrUnavailable. LongCallTimeout applies instead to calls that may
	// end many sessions: DefaultLongCallTimeout if zero. If the plugin dies or hangs (HealthTimeout) during a
	// call, the call is retried on the next process for up to CallTimeout.
	CallTimeout     time.Duration
	LongCallTimeout time.Duration
	// CloseTimeout is how long the plugin may take to close its database before it is killed:
	// DefaultCloseTimeout if zero.
	CloseTimeout time.Duration
	// HealthTimeout is how long the plugin may take to answer a health check, sent once a second, before it
	// is killed and restarted: DefaultHealthTimeout if zero.
	HealthTimeout time.Duration
	// Cache bounds the memory for copies of live access tokens, which save introspection the call, in
	// estimated bytes: DefaultCache if zero, no cache if negative. A copy is never served after the end of
	// its token was acknowledged (rule 15). Nothing is cached if the plugin does not stream its kills
	// (grantstore.KillsService), or if the store is shared by several hosts and serves no leases
	// (grantstore.LeasesService).
	Cache int64
	// TracerProvider creates a span for each call made under a sampled span, with the spans that the plugin
	// returns (waits, syncs and reads of its engine) as children. No span has attributes about a person or a
	// client. Nil disables tracing; the global provider is not used by default, so that only the server's
	// configuration decides what is exported. Pass otel.GetTracerProvider() to use it.
	TracerProvider trace.TracerProvider
	// MeterProvider measures call durations (rpc.client.call.duration). Nil disables it.
	MeterProvider metric.MeterProvider
	// Logger receives the plugin's log and messages about the plugin. slog.Default() if nil.
	Logger *slog.Logger

	// meter counts over all processes of a client.
	meter *grantcache.Meter
}

// prepare sets defaults and validates the configuration.
func (c *Config) prepare() (settings []byte, err error) {
	if c.Path == "" {
		return nil, ticketstore.Invalidf("Path", "is empty: name the plugin's binary")
	}
	if sum, err := hex.DecodeString(c.Checksum); err != nil || (len(sum) != 0 && len(sum) != sha256.Size) {
		return nil, ticketstore.Invalidf("Checksum", "is not a SHA-256 in hex (%d digits)", 2*sha256.Size)
	}
	for _, timeout := range []struct {
		field    string
		value    *time.Duration
		standard time.Duration
	}{
		{"StartTimeout", &c.StartTimeout, DefaultStartTimeout},
		{"CallTimeout", &c.CallTimeout, DefaultCallTimeout},
		{"LongCallTimeout", &c.LongCallTimeout, DefaultLongCallTimeout},
		{"CloseTimeout", &c.CloseTimeout, DefaultCloseTimeout},
		{"HealthTimeout", &c.HealthTimeout, DefaultHealthTimeout},
	} {
		if *timeout.value < 0 {
			return nil, ticketstore.Invalidf(timeout.field, "is negative")
		}
		*timeout.value = cmp.Or(*timeout.value, timeout.standard)
	}
	c.meter = &grantcache.Meter{}
	c.Cache = cmp.Or(c.Cache, DefaultCache)
	if err := ticketstore.CheckText("StoreID", c.StoreID, ticketstore.MaxID); err != nil {
		return nil, err
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Settings == nil {
		return []byte("{}"), nil
	}
	settings, err = json.Marshal(c.Settings)
	if err != nil {
		return nil, ticketstore.Invalidf("Settings", "cannot be written as JSON: %v", err)
	}
	return settings, nil
}

// locate returns the path of the binary.
func (c *Config) locate() (string, error) {
	path, err := exec.LookPath(c.Path)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("there is no such program in PATH: install it there or give its full path")
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("there is no such file: build the plugin or correct the path")
	}
	// LookPath returns the same error for a folder and for a file without execute permission.
	info, statErr := os.Stat(c.Path)
	switch {
	case err != nil && statErr == nil && info.IsDir():
		return "", errors.New("it is a folder: give the path of the plugin's binary in it")
	case errors.Is(err, fs.ErrPermission) && statErr == nil && info.Mode()&0o111 != 0 && onNoExec(c.Path):
		return "", errNoExec
	case errors.Is(err, fs.ErrPermission):
		return "", errors.New("it may not be executed by this user: set its mode (chmod +x) or run as its " +
			"owner")
	case err != nil:
		return "", err
	}
	return filepath.Abs(path)
}

// verify compares the binary with the checksum and returns its sum.
func (c *Config) verify(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	seen := hex.EncodeToString(hash.Sum(nil))
	if c.Checksum != "" && !strings.EqualFold(c.Checksum, seen) {
		return "", fmt.Errorf("its SHA-256 is %s, Config.Checksum is %s: it is not the binary that was "+
			"pinned, so it was not started", seen, c.Checksum)
	}
	return seen, nil
}
