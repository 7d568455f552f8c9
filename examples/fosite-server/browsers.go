package main

// Browsers in which users have signed in before.

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// deviceLifetime is how long a browser is known after a sign-in, and maxDeviceUsers how many users of it
	// are.
	deviceLifetime = 90 * 24 * time.Hour
	maxDeviceUsers = 4
	deviceIDSize   = 16
	deviceSumSize  = 16
)

// knownBrowsers are those in which users have signed in before, by a signed cookie: what others fail at does
// not count there.
type knownBrowsers struct {
	key          []byte
	cookie, path string
	secure       bool
}

func newKnownBrowsers(globalSecret []byte, issuer, name, path string) (knownBrowsers, error) {
	key, err := hkdf.Key(sha256.New, globalSecret, nil, "fosite-server "+name+" browsers", sha256.Size)
	k := knownBrowsers{key: key, cookie: "fosite_server_" + name, path: path}
	k.secure = strings.HasPrefix(issuer, "https:")
	if k.secure {
		k.cookie = "__Secure-" + k.cookie
	}
	if k.secure && path == "/" {
		k.cookie = "__Host-fosite_server_" + name // which requires that path
	}
	return k, err
}

// known returns the id of the browser if the user has signed in there before.
func (k *knownBrowsers) known(r *http.Request, account string) []byte {
	for _, device := range k.devices(r) {
		if id, sum := device[:deviceIDSize], device[deviceIDSize:]; hmac.Equal(sum, k.sign(id, account)) {
			return id
		}
	}
	return nil
}

// remember has the browser known as one in which the user has signed in, beside the last others.
func (k *knownBrowsers) remember(w http.ResponseWriter, r *http.Request, account string) {
	id := k.known(r, account)
	if id == nil {
		id = hashOf(randomText())[:deviceIDSize]
	}
	devices := [][]byte{slices.Concat(id, k.sign(id, account))}
	for _, device := range k.devices(r) {
		other := !hmac.Equal(device[deviceIDSize:], k.sign(device[:deviceIDSize], account))
		if other && len(devices) < maxDeviceUsers {
			devices = append(devices, device)
		}
	}
	texts := make([]string, len(devices))
	for i, device := range devices {
		texts[i] = base64.RawURLEncoding.EncodeToString(device)
	}
	//nolint:gosec // Secure follows the issuer's scheme: behind a proxy r.TLS says nothing.
	http.SetCookie(w, &http.Cookie{
		Name: k.cookie, Value: strings.Join(texts, "."), Path: k.path,
		MaxAge:   int(deviceLifetime / time.Second),
		HttpOnly: true, Secure: k.secure, SameSite: http.SameSiteLaxMode,
	})
}

// devices are what the browser's cookies say, of any server and for any user.
func (k *knownBrowsers) devices(r *http.Request) (devices [][]byte) {
	for _, cookie := range r.CookiesNamed(k.cookie) {
		for text := range strings.SplitSeq(cookie.Value, ".") {
			device, err := base64.RawURLEncoding.DecodeString(text)
			if err == nil && len(device) == deviceIDSize+deviceSumSize && len(devices) < 2*maxDeviceUsers {
				devices = append(devices, device)
			}
		}
	}
	return devices
}

func (k *knownBrowsers) sign(id []byte, account string) []byte {
	mac := hmac.New(sha256.New, k.key)
	mac.Write(id)
	mac.Write([]byte(account))
	return mac.Sum(nil)[:deviceSumSize]
}
