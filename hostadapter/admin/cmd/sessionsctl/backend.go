package main

// backend show, swap, abort, backup.

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

func (a *app) backendCommand() *cobra.Command {
	group := &cobra.Command{Use: "backend", Short: "The storage backend: status, swap, backup"}
	group.AddCommand(&cobra.Command{
		Use: "show", Short: "Show the current backend and its health",
		RunE: func(command *cobra.Command, _ []string) error {
			backend, err := a.client.Backend(command.Context())
			if err != nil {
				return err
			}
			return a.printBackend(backend)
		},
	}, a.backendSwap(), &cobra.Command{
		Use: "abort JOB", Short: "Abort a swap before its switch",
		RunE: func(command *cobra.Command, arguments []string) error {
			if err := a.client.AbortSwap(command.Context(), arguments[0]); err != nil {
				return err
			}
			return a.print(map[string]string{"job": arguments[0]}, pair{"Aborting", clean(arguments[0])})
		},
	}, a.backendBackup())
	return group
}

func (a *app) printBackend(b *client.Backend) error {
	pairs := []pair{{"Status", or(b.Status)}}
	if b.Error != "" {
		pairs = append(pairs, pair{"Why", clean(b.Error)})
	}
	pending := number(b.PendingDeliveries)
	if b.PendingDeliveriesComplete != nil && !*b.PendingDeliveriesComplete {
		pending += " or more"
	}
	pairs = append(pairs, pair{"Configured as", or(b.ConfiguredAs)}, pair{"Name", or(b.Name)},
		pair{"Version", or(b.Version)},
		pair{"Format", strconv.Itoa(b.Format)}, pair{"Services", or(strings.Join(b.Services, ", "))},
		pair{"Shared", strconv.FormatBool(b.Shared)}, pair{"Sessions", number(b.Sessions)},
		pair{"Pending deliveries", pending})
	for _, host := range b.Hosts {
		text := or(host.Name) + ", version " + or(host.Version) + ", since " + moment(host.Joined) +
			", last beat " + moment(host.Beat)
		pairs = append(pairs, pair{"Host", text})
	}
	if c := b.Cache; c != nil {
		pairs = append(pairs, pair{"Cache", fmt.Sprintf("%d tokens in %d bytes, %d hits, %d misses",
			c.Entries, c.Bytes, c.Hits, c.Misses)})
	}
	for _, limit := range b.Limits {
		pairs = append(pairs, pair{"Note", clean(limit)})
	}
	return a.print(b, pairs...)
}

// started follows a started job, or prints its id.
func (a *app) started(ctx context.Context, job string, noWait bool) error {
	if noWait {
		return a.print(map[string]string{"job": job}, pair{"Job", clean(job)})
	}
	return a.follow(ctx, job)
}

func (a *app) backendSwap() *cobra.Command {
	var sameData, dryRun, yes, noWait bool
	command := &cobra.Command{
		Use: "swap NAME", Short: "Move to another backend of the server's configuration",
		Example: "  sessionsctl backend swap next --yes",
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, name := command.Context(), arguments[0]
			if dryRun || !yes {
				backend, err := a.client.Backend(ctx)
				if err != nil {
					return err
				}
				if dryRun {
					a.say("This would move to %q. Only the swap checks whether that backend is suitable.",
						clean(name))
					return a.printBackend(backend)
				}
				question := fmt.Sprintf("This moves the %s sessions of %s to %q.", number(backend.Sessions),
					or(backend.Name), clean(name))
				if err := a.confirm(yes, question); err != nil {
					return err
				}
			}
			job, err := a.client.SwapBackend(ctx, name, sameData)
			if err != nil {
				return err
			}
			return a.started(ctx, job, noWait)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&sameData, "same-data", false, "hand the data over to a newer program, copy nothing")
	flags.BoolVar(&dryRun, "dry-run", false, "show what would be moved, and change nothing")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	flags.BoolVar(&noWait, "no-wait", false, "do not wait for the job")
	return command
}

func (a *app) backendBackup() *cobra.Command {
	var force bool
	command := &cobra.Command{
		Use: "backup FILE", Short: "Write a backup to a file, or to stdout (-)",
		Long: "Write a backup to a file, or to stdout (-). The file appears only when it is complete,\n" +
			"and only its owner may read it: it contains the sessions of all users.",
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, path := command.Context(), arguments[0]
			if path == "-" {
				if isTerminal(a.out) {
					return usagef("a backup is binary: name a file, or redirect stdout")
				}
				_, err := a.download(ctx, a.out)
				return err
			}
			if !force && smallfile.Exists(path) {
				return usagef("%s exists: give --force to replace it", path)
			}
			var size int64
			err := smallfile.WriteFrom(path, 0o600, func(w io.Writer) (err error) {
				size, err = a.download(ctx, w)
				return err
			})
			if err != nil {
				return err
			}
			return a.print(map[string]any{"file": path, "bytes": size}, pair{"File", clean(path)},
				pair{"Bytes", strconv.FormatInt(size, 10)})
		},
	}
	command.Flags().BoolVar(&force, "force", false, "replace an existing file")
	return command
}

func (a *app) download(ctx context.Context, w io.Writer) (int64, error) {
	bar := a.bar(-1, "backup", progressbar.OptionShowBytes(true))
	defer func() { _ = bar.Finish() }()
	return a.client.Backup(ctx, io.MultiWriter(w, bar))
}
