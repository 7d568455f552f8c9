package integration

// The imports between folders run one way.

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const modulePath = "github.com/fosite-sessions/sessions"

// wall restricts the dependencies of packages, direct and indirect. Tests are exempt.
type wall struct {
	name string
	// of reports whether the wall applies to a package, given without the module's path.
	of func(pkg string) bool
	// allowed are the only dependencies outside of the standard library; nil means all that are not
	// forbidden.
	allowed []string
	// forbidden are path prefixes that are not allowed; except are path prefixes that always are.
	forbidden, except []string
}

const (
	fositePath   = "github.com/ory/fosite"
	goPluginPath = "github.com/hashicorp/go-plugin"
	grpcPath     = "google.golang.org/grpc"
	badgerPath   = "github.com/dgraph-io/badger/v4"
	pgxPath      = "github.com/jackc/pgx/v5"
	muxPath      = "github.com/gorilla/mux"
	goCmpPath    = "github.com/google/go-cmp/cmp"
	ourPlugin    = modulePath + "/plugin"
	ourTransfer  = modulePath + "/plugin/transfer"
	ourAdapter   = modulePath + "/hostadapter"
	ourOffline   = ourPlugin + "/internal/offline"
	ourBadger    = modulePath + "/plugin/badger/internal"
)

var engines = []string{
	badgerPath, pgxPath, ourPlugin + "/badger", ourPlugin + "/memory", ourPlugin + "/postgres",
}

var domain = []string{modulePath + "/ticketstore", modulePath + "/grantstore", modulePath + "/logout"}

var walls = []wall{
	{name: "a ticket store has no dependencies", of: exactly("ticketstore"), allowed: domain[:1]},
	{name: "a grant store imports only ticket stores", of: exactly("grantstore"), allowed: domain[:2]},
	{name: "the logout package imports only both", of: exactly("logout"), allowed: domain},
	{name: "the root imports only the domain", of: exactly(modulePath), allowed: domain},
	{
		name: "records import only the domain", of: exactly("plugin/records"), allowed: domain,
		except: []string{ourPlugin + "/protofields", "google.golang.org/protobuf"},
	},
	{
		name: "rules import only records, moves and the domain", of: exactly("plugin/rules"), allowed: domain,
		except: []string{
			ourPlugin + "/records", ourPlugin + "/protofields", ourTransfer, "google.golang.org/protobuf",
		},
	},
	{
		name: "steps import only records, rules and the domain", of: exactly("plugin/steps"), allowed: domain,
		except: []string{
			ourPlugin + "/records", ourPlugin + "/protofields", ourPlugin + "/rules", ourTransfer,
			"google.golang.org/protobuf",
		},
	},
	{name: "moves import only the domain", of: exactly("plugin/transfer"), allowed: domain[:1]},
	{
		name: "backups import only moves", of: exactly("plugin/transfer/backup"),
		allowed: append([]string{ourTransfer}, domain[0]),
	},
	{
		name: "the suite imports only the domain, moves and a diff library", of: below("plugin/storetest"),
		allowed: append([]string{goCmpPath}, domain...),
		except:  []string{ourPlugin + "/storetest", ourTransfer},
	},
	{
		name: "the adapter imports neither fosite nor plugins nor a database",
		of:   exactly("hostadapter", "hostadapter/admin", "hostadapter/account"),
		forbidden: []string{
			fositePath, goPluginPath, grpcPath, badgerPath, pgxPath, ourPlugin, ourAdapter + "/fositestore",
		}, except: []string{ourTransfer, ourPlugin + "/loglimit"},
	},
	{
		name: "the client of the admin routes imports only the standard library",
		of:   exactly("hostadapter/admin/client"), allowed: []string{},
	},
	{
		name: "the adapter does not import a router", of: exactly("hostadapter", "hostadapter/account"),
		forbidden: []string{muxPath},
	},
	{
		name: "the host's packages do not import the plugin's", of: below("hostadapter"),
		// fosite depends on gRPC, for its tracing
		forbidden: []string{ourPlugin, goPluginPath, badgerPath, pgxPath},
		except:    []string{ourTransfer, ourPlugin + "/protofields", ourPlugin + "/loglimit"},
	},
	{
		name: "only fositestore imports fosite", forbidden: []string{fositePath},
		of: func(pkg string) bool {
			return !below("hostadapter/fositestore")(pkg) && !below("examples")(pkg)
		},
	},
	{
		name: "the plugin's packages do not import the host's", of: below("plugin"),
		forbidden: []string{fositePath, ourAdapter},
	},
	{
		name: "the plugin's glue imports no engine", of: exactly("plugin", "plugin/plugintest"),
		forbidden: engines,
	},
	{
		name: "the protocol imports neither engines nor glue nor rules",
		of: func(pkg string) bool {
			return below("plugin/internal")(pkg) && !below("plugin/internal/grantcache")(pkg)
		},
		forbidden: append([]string{goPluginPath, ourPlugin + "/rules", ourPlugin + "/steps"}, engines...),
	},
	{
		name: "the host's cache imports no protocol", of: exactly("plugin/internal/grantcache"),
		allowed: domain, except: []string{
			ourPlugin + "/kills", ourPlugin + "/rules", ourPlugin + "/records", ourPlugin + "/protofields",
			ourTransfer, "google.golang.org/protobuf",
		},
	},
	{
		name: "spans of an engine import only the standard library",
		of:   exactly("plugin/spans"), allowed: []string{},
	},
	{
		name: "reading fields in place imports only the standard library", of: exactly("plugin/protofields"),
		allowed: []string{},
	},
	{name: "kills import only the domain", of: exactly("plugin/kills"), allowed: domain[:2]},
	{
		name:      "offline commands import no protocol",
		of:        exactly("plugin/internal/offline", "plugin/badger/cli", "plugin/postgres/cli"),
		forbidden: []string{goPluginPath, grpcPath, ourPlugin + "/internal", ourPlugin + "/memory"},
		except:    []string{ourOffline, ourPlugin + "/internal/program", ourPlugin + "/internal/machine"},
	},
	{
		name: "a plugin's program has one engine: memory", of: exactly("plugin/cmd/sessions-memory"),
		forbidden: []string{badgerPath, ourPlugin + "/badger", pgxPath, ourPlugin + "/postgres"},
	},
	{
		name: "a plugin's program has one engine: Badger", of: exactly("plugin/cmd/sessions-badger"),
		forbidden: []string{ourPlugin + "/memory", pgxPath, ourPlugin + "/postgres"},
	},
	{
		name: "a plugin's program has one engine: PostgreSQL", of: exactly("plugin/cmd/sessions-postgres"),
		forbidden: []string{ourPlugin + "/memory", badgerPath, ourPlugin + "/badger"},
	},
	{
		name: "small files and log limits import only the standard library",
		of:   exactly("plugin/smallfile", "plugin/loglimit"), allowed: []string{},
	},
	{
		name: "an engine imports no glue", of: exactly("plugin/badger", "plugin/memory", "plugin/postgres"),
		forbidden: []string{goPluginPath, grpcPath},
	},
	{
		name: "the layout of keys imports no database", of: exactly("plugin/badger/internal/layout"),
		forbidden: []string{badgerPath, ourBadger}, except: []string{ourBadger + "/layout"},
	},
	{
		name:      "machine, files and disk import no rows",
		of:        exactly(badgersOwn("machine", "files", "disk")...),
		forbidden: []string{ourBadger, ourPlugin + "/records"}, except: badgerPaths("files"),
	},
	{
		name: "a store's folder imports no transactions", of: exactly(badgersOwn("folder")...),
		forbidden: []string{ourBadger}, except: badgerPaths("files", "disk", "layout"),
	},
	{
		name: "transactions import no tables but the layout's", of: exactly(badgersOwn("kv")...),
		forbidden: []string{ourBadger}, except: badgerPaths("files", "disk", "layout", "folder", "recordpb"),
	},
	{
		name:      "checks, moves and pages import transactions, not one another",
		of:        exactly(badgersOwn("check", "move", "listing")...),
		forbidden: badgerPaths("check", "move", "listing"),
	},
}

func exactly(pkgs ...string) func(string) bool {
	return func(pkg string) bool {
		for _, one := range pkgs {
			if pkg == one {
				return true
			}
		}
		return false
	}
}

// badgersOwn returns packages below the Badger engine, badgerPaths their import paths.
func badgersOwn(names ...string) (pkgs []string) {
	for _, name := range names {
		pkgs = append(pkgs, "plugin/badger/internal/"+name)
	}
	return pkgs
}

func badgerPaths(names ...string) (paths []string) {
	for _, name := range names {
		paths = append(paths, ourBadger+"/"+name)
	}
	return paths
}

func below(folder string) func(string) bool {
	return func(pkg string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
}

// Imports between packages run one way.
func TestWalls(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	for _, w := range walls {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			found := false
			for pkg, deps := range packages {
				if !w.of(pkg) {
					continue
				}
				found = true
				for _, dep := range deps {
					if w.refuses(dep) {
						t.Errorf("%s depends on %s, want it not to", pkg, dep)
					}
				}
			}
			if !found {
				t.Error("the wall applies to no package: was it moved?")
			}
		})
	}
}

func (w *wall) refuses(dep string) bool {
	for _, path := range w.except {
		if below(path)(dep) {
			return false
		}
	}
	for _, path := range w.forbidden {
		if below(path)(dep) {
			return true
		}
	}
	if w.allowed == nil || standard(dep) {
		return false
	}
	for _, path := range w.allowed {
		if dep == path || (path == goCmpPath && below(path)(dep)) {
			return false
		}
	}
	return true
}

// standard reports whether a package is in the standard library: its path does not begin with a domain name.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// listPackages returns the dependencies of each package of the library's module, by its path relative to the
// module.
func listPackages(t *testing.T) map[string][]string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Deps", "./...")
	command.Dir, command.Stdout, command.Stderr = "..", &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := map[string][]string{}
	for decoder := json.NewDecoder(&stdout); ; {
		var listed struct {
			ImportPath string
			Deps       []string
		}
		switch err := decoder.Decode(&listed); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatalf("decode the output of go list: %v", err)
		}
		packages[strings.TrimPrefix(listed.ImportPath, modulePath+"/")] = listed.Deps
	}
}
