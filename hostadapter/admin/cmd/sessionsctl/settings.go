package main

// The server's URL and token: from flags, environment and file, in this order.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

const (
	defaultURL = "http://localhost:9000/admin"
	// maxNamed is the longest unknown field name quoted in an error. Tokens are longer.
	maxNamed = 16

	outputTable = "table"
	outputJSON  = "json"
)

// settings are the values of the flags. Tokens are given by file only: command lines are visible in process
// lists and shell history.
type settings struct {
	url, tokenFile, config, output string
}

// file is the content of the configuration file.
type file struct {
	URL       string
	Token     client.Secret
	TokenFile string
	Output    string
}

func (s *settings) flags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&s.url, "url", "", "URL of the admin routes (default "+defaultURL+")")
	flags.StringVar(&s.tokenFile, "token-file", "", "file with the token, not accessible to others")
	flags.StringVar(&s.config, "config", "",
		"configuration file in JSON: url, token_file or token, output (default sessionsctl/config.json "+
			"in your configuration folder)")
	flags.StringVarP(&s.output, "output", "o", "", "table for people, json for programs (default table)")
	_ = root.MarkPersistentFlagFilename("token-file")
	_ = root.MarkPersistentFlagFilename("config", "json")
	_ = root.RegisterFlagCompletionFunc("output", oneOf(outputTable, outputJSON))
}

// oneOf completes a flag with one of the values.
func oneOf(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// configure merges the settings and creates the client.
func (a *app) configure() error {
	s := &a.settings
	kept, err := a.readConfig()
	if err != nil {
		return err
	}
	s.url = cmp.Or(s.url, a.getenv("SESSIONSCTL_URL"), kept.URL, defaultURL)
	s.output = cmp.Or(s.output, a.getenv("SESSIONSCTL_OUTPUT"), kept.Output, outputTable)
	if s.output != outputTable && s.output != outputJSON {
		return fmt.Errorf("output %q is neither %s nor %s", s.output, outputTable, outputJSON)
	}
	token := kept.Token
	switch {
	case s.tokenFile != "":
		token, err = a.readToken(s.tokenFile)
	case a.getenv("SESSIONSCTL_TOKEN") != "":
		token = client.Secret(a.getenv("SESSIONSCTL_TOKEN"))
	case a.getenv("SESSIONSCTL_TOKEN_FILE") != "":
		token, err = a.readToken(a.getenv("SESSIONSCTL_TOKEN_FILE"))
	case kept.TokenFile != "":
		token, err = a.readToken(kept.TokenFile)
	}
	if err != nil {
		return err
	}
	a.hasToken = token != ""
	a.client, err = client.New(client.Config{URL: s.url, Token: token, UserAgent: "sessionsctl/" + version()})
	return err
}

// readConfig reads the configuration file. The default file may be missing.
func (a *app) readConfig() (*file, error) {
	path, named := cmp.Or(a.settings.config, a.getenv("SESSIONSCTL_CONFIG")), true
	if path == "" {
		folder, err := os.UserConfigDir()
		if err != nil {
			return &file{}, nil // without a home directory there is no file
		}
		path, named = filepath.Join(folder, "sessionsctl", "config.json"), false
	}
	raw, err := a.readSecret(path)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return &file{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	kept, err := decodeConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s %w", path, err)
	}
	if kept.Token != "" && kept.TokenFile != "" {
		return nil, fmt.Errorf("configuration file %s has both token and token_file: leave one of them out",
			path)
	}
	if kept.TokenFile != "" && !filepath.IsAbs(kept.TokenFile) {
		kept.TokenFile = filepath.Join(filepath.Dir(path), kept.TokenFile)
	}
	return kept, nil
}

// decodeConfig decodes the file's fields. Its errors name fields but quote no values, which may be the token.
func decodeConfig(raw []byte) (*file, error) {
	const fields = "url, token, token_file, output"
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, errors.New("is not a JSON object of " + fields)
	}
	kept := &file{}
	known := map[string]any{
		"url": &kept.URL, "token": &kept.Token, "token_file": &kept.TokenFile, "output": &kept.Output,
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		into, ok := known[name]
		switch {
		case !ok && len(name) > maxNamed: // it may be a misplaced token
			return nil, errors.New("has an unknown field: known are " + fields)
		case !ok:
			return nil, fmt.Errorf("has an unknown field %q: known are %s", name, fields)
		case json.Unmarshal(given[name], into) != nil:
			return nil, fmt.Errorf("has %s, which is not a string", name)
		}
	}
	return kept, nil
}

func (a *app) readToken(path string) (client.Secret, error) {
	raw, err := a.readSecret(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" {
		return "", fmt.Errorf("token file %s is empty", path)
	}
	return client.Secret(token), nil
}

// readSecret reads a file with a secret under the server's rule: it refuses a file that others can access and
// warns if the group can.
func (a *app) readSecret(path string) ([]byte, error) {
	content, group, err := smallfile.ReadSecret(path)
	if group {
		_, _ = fmt.Fprintf(a.err, "sessionsctl: warning: the group of %s has access to it\n", path)
	}
	return content, err
}

// version returns the module version of the build.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
