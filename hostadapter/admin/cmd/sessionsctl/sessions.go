package main

// sessions list, show, remove.

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

func (a *app) sessionsCommand() *cobra.Command {
	group := &cobra.Command{Use: "sessions", Short: "List, show and end sessions"}
	group.AddCommand(a.sessionsList(), &cobra.Command{
		Use: "show SESSION_ID", Short: "Show one session, its clients and grants",
		RunE: func(command *cobra.Command, arguments []string) error {
			report, err := a.client.Session(command.Context(), arguments[0])
			if err != nil {
				return err
			}
			return a.printSession(report)
		},
	}, a.sessionsRemove())
	return group
}

// listFlags are the flags of all lists.
type listFlags struct {
	order string
	limit int
}

func (l *listFlags) add(command *cobra.Command) {
	command.Flags().StringVar(&l.order, "order", "desc", "asc or desc, by creation")
	command.Flags().IntVar(&l.limit, "limit", 100, "maximum number of rows, 0 for all")
	_ = command.RegisterFlagCompletionFunc("order", oneOf("asc", "desc"))
}

// paging returns a page size that fits the limit.
func (l *listFlags) paging() (client.Paging, error) {
	if l.limit < 0 {
		return client.Paging{}, usagef("--limit is negative")
	}
	count := 1000
	if l.limit > 0 {
		count = min(l.limit+1, count) // one more, to detect further rows
	}
	return client.Paging{Order: client.Order(l.order), Count: count}, nil
}

func (a *app) sessionsList() *cobra.Command {
	var query client.SessionQuery
	var list listFlags
	times := [4]string{}
	command := &cobra.Command{
		Use: "list", Short: "List sessions, the newest first",
		Example: "  sessionsctl sessions list --subject 1001\n" +
			"  sessionsctl sessions list --name ann --created-after 2026-01-01T00:00:00Z",
		RunE: func(command *cobra.Command, _ []string) (err error) {
			for i, into := range []*time.Time{
				&query.CreatedFrom, &query.CreatedBefore, &query.ExpiresFrom, &query.ExpiresBefore,
			} {
				if *into, err = readTime(timeFlags[i], times[i]); err != nil {
					return err
				}
			}
			if query.Paging, err = list.paging(); err != nil {
				return err
			}
			return printList(a, a.client.Sessions(command.Context(), query), list.limit,
				[]string{"SESSION", "SUBJECT", "NAME", "SIGNED IN", "IDLE TIMEOUT", "CLIENTS"},
				func(s client.Session) []string {
					return []string{
						or(s.SessionID), or(s.SubjectID), or(s.DisplayName), moment(s.Created),
						moment(s.Expires), or(strings.Join(s.ClientIDs, ",")),
					}
				})
		},
	}
	flags := command.Flags()
	flags.StringVar(&query.SubjectID, "subject", "", "exact subject")
	flags.StringVar(&query.SessionID, "session", "", "exact session id")
	flags.StringVar(&query.ClientID, "client", "", "exact client id")
	flags.StringVar(&query.DisplayName, "name", "", "case-insensitive substring of the user's name")
	for i, name := range timeFlags {
		direction := "how long ago"
		if isAhead(name) {
			direction = "how far ahead"
		}
		flags.StringVar(&times[i], name, "", "a time like 2006-01-02T15:04:05Z, or "+direction+", like 90m")
	}
	list.add(command)
	return command
}

// timeFlags are inclusive (after) and exclusive (before).
var timeFlags = [4]string{"created-after", "created-before", "expires-after", "expires-before"}

// isAhead reports whether a duration of the flag counts from now on: sessions expire in the future.
func isAhead(flag string) bool { return strings.HasPrefix(flag, "expires-") }

// readTime parses a time, or a duration from now.
func readTime(flag, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if duration, err := time.ParseDuration(value); err == nil {
		if !isAhead(flag) {
			duration = -duration
		}
		return time.Now().Add(duration), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, usagef("--%s %q is neither a time like 2006-01-02T15:04:05Z nor like 90m", flag,
			value)
	}
	return t, nil
}

func (a *app) printSession(s *client.SessionReport) error {
	pairs := []pair{
		{"Session", or(s.SessionID)}, {"Subject", or(s.SubjectID)}, {"Name", or(s.DisplayName)},
		{"Signed in", moment(s.Created)}, {"Last seen", moment(s.Renewed)},
		{"Idle timeout", moment(s.Expires)}, {"Absolute expiry", moment(s.EndsAt)},
		{"Authenticated", moment(s.AuthTime)}, {"Issuer", or(s.Issuer)}, {"ACR", or(s.ACR)},
		{"Authentication methods", or(strings.Join(s.AMR, " "))}, {"Address", or(s.RemoteAddr)},
		{"User agent", or(s.UserAgent)},
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		pairs = append(pairs, pair{clean(name), or(s.Properties[name])})
	}
	for _, use := range s.Clients {
		notified := ", is not notified"
		if use.Notify {
			notified = ", is notified of the end"
		}
		text := or(use.ClientID) + ", last used " + moment(use.LastUsed) + notified
		pairs = append(pairs, pair{"Client", text})
	}
	kinds := make([]string, 0, len(s.Grants))
	for kind, count := range s.Grants {
		kinds = append(kinds, clean(kind)+" "+strconv.Itoa(count))
	}
	slices.Sort(kinds)
	if !s.GrantsComplete {
		kinds = append(kinds, "and more")
	}
	return a.print(s, append(pairs, pair{"Grants", or(strings.Join(kinds, ", "))})...)
}

// removeFlags are the flags of sessions remove.
type removeFlags struct {
	client.Removal
	careful
	noWait bool
}

func (a *app) sessionsRemove() *cobra.Command {
	var f removeFlags
	command := &cobra.Command{
		Use: "remove", Short: "End sessions with their tokens and consents, and notify their clients",
		Example: "  sessionsctl sessions remove --subject 1001 --reason 'left the company'\n" +
			"  sessionsctl sessions remove --all --dry-run",
		RunE: func(command *cobra.Command, _ []string) error {
			whose := f.SubjectID != "" || f.SessionID != ""
			switch {
			case f.All && whose:
				return usagef("--all goes with neither --subject nor --session")
			case !f.All && !whose:
				return usagef("select sessions: --subject, --session or both, or --all")
			}
			return a.removeSessions(command, &f)
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.SubjectID, "subject", "", "all sessions of this subject")
	flags.StringVar(&f.SessionID, "session", "", "this session")
	flags.BoolVar(&f.All, "all", false, "every session of every subject, as a job")
	flags.StringSliceVar(&f.ClientIDs, "client", nil,
		"only the tokens, consents and notifications of these clients")
	flags.StringVar(&f.Reason, "reason", "", "for the audit")
	flags.BoolVar(&f.KeepSession, "keep-session", false, "do not end the session itself")
	flags.BoolVar(&f.KeepTokens, "keep-tokens", false, "do not revoke tokens")
	flags.BoolVar(&f.KeepConsents, "keep-consents", false, "do not revoke consents")
	flags.BoolVar(&f.SkipNotification, "no-notification", false, "do not notify clients")
	f.add(command)
	flags.BoolVar(&f.noWait, "no-wait", false, "do not wait for the job of --all")
	return command
}

// removeSessions counts, asks for confirmation, and removes.
func (a *app) removeSessions(command *cobra.Command, f *removeFlags) error {
	ctx := command.Context()
	count := func() (*client.Removed, error) {
		planned := f.Removal
		planned.DryRun = true
		result, _, err := a.client.RemoveSessions(ctx, planned)
		return result, err
	}
	goOn, err := counted(a, &f.careful, count, func(r *client.Removed) string {
		return fmt.Sprintf("This ends %s, revokes %s and %s and queues %s.",
			plural(r.SessionsRemoved, "session"), plural(r.GrantsRevoked, "token"),
			plural(r.ConsentsRevoked, "consent"), plural(r.NotificationsQueued, "notification"))
	}, func(r *client.Removed) error { return a.printOutcome(r, removedOutcome(r, true)) })
	if !goOn {
		return err
	}
	removed, job, err := a.client.RemoveSessions(ctx, f.Removal)
	if err != nil {
		return err
	}
	if job != "" {
		return a.started(ctx, job, f.noWait)
	}
	return a.printOutcome(removed, removedOutcome(removed, false))
}

func removedOutcome(r *client.Removed, dryRun bool) *outcome {
	o := &outcome{dryRun: dryRun}
	o.add("Sessions", "ended", "end", r.SessionsRemoved)
	o.add("Tokens", "revoked", "revoke", r.GrantsRevoked)
	o.add("Consents", "revoked", "revoke", r.ConsentsRevoked)
	o.add("Notifications", "queued", "queue", r.NotificationsQueued)
	if len(r.ClientsLeftAlone) > 0 {
		o.pairs = append(o.pairs, pair{"Clients left alone", clean(strings.Join(r.ClientsLeftAlone, ", "))})
	}
	return o
}
