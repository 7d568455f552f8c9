package main

// grants list, remove.

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

var grantTypes = []string{
	"authorization_code", "openid_request", "pkce_request", "refresh_token", "reference_token",
	"user_consent", "pushed_authorization_request", "jti",
}

func (a *app) grantsCommand() *cobra.Command {
	group := &cobra.Command{Use: "grants", Short: "Codes, tokens and consents"}
	group.AddCommand(a.grantsList(), a.grantsRemove())
	return group
}

func grantFlags(command *cobra.Command, filter *client.GrantFilter) {
	flags := command.Flags()
	flags.StringVar(&filter.SubjectID, "subject", "", "exact subject")
	flags.StringVar(&filter.SessionID, "session", "", "exact session id")
	flags.StringVar(&filter.ClientID, "client", "", "exact client id")
	flags.StringVar(&filter.Type, "type", "", "exact type, such as refresh_token or user_consent")
	_ = command.RegisterFlagCompletionFunc("type", oneOf(grantTypes...))
}

func (a *app) grantsList() *cobra.Command {
	var query client.GrantQuery
	var list listFlags
	command := &cobra.Command{
		Use: "list", Short: "List live grants, the newest first",
		Example: "  sessionsctl grants list --subject 1001 --type user_consent",
		RunE: func(command *cobra.Command, _ []string) (err error) {
			if query.Paging, err = list.paging(); err != nil {
				return err
			}
			return printList(a, a.client.Grants(command.Context(), query), list.limit,
				[]string{"TYPE", "SUBJECT", "CLIENT", "SESSION", "CREATED", "EXPIRES", "OFFLINE"},
				func(g client.Grant) []string {
					return []string{
						or(g.Type), or(g.SubjectID), or(g.ClientID), or(g.SessionID), moment(g.Created),
						moment(g.Expires), strconv.FormatBool(g.Offline),
					}
				})
		},
	}
	grantFlags(command, &query.GrantFilter)
	list.add(command)
	return command
}

func (a *app) grantsRemove() *cobra.Command {
	var removal client.GrantRemoval
	var flags careful
	command := &cobra.Command{
		Use: "remove", Short: "Revoke grants",
		Long: "Revoke grants: all that match the conditions, or the one with --id (grants list -o json). " +
			"With --id, a code or a refresh token is revoked with all tokens derived from it, an access " +
			"token alone.",
		Example: "  sessionsctl grants remove --subject 1001 --client demo-photos --type user_consent\n" +
			"  sessionsctl grants remove --id ID --dry-run",
		RunE: func(command *cobra.Command, _ []string) error {
			if (removal.GrantFilter == client.GrantFilter{} && removal.ID == "") {
				return usagef("select grants: one of --subject, --session, --client, --type, or --id")
			}
			if removal.ID != "" && removal.GrantFilter != (client.GrantFilter{}) {
				return usagef("--id goes with no other condition")
			}
			count := func() (*client.GrantsRemoved, error) {
				planned := removal
				planned.DryRun = true
				return a.client.RemoveGrants(command.Context(), planned)
			}
			goOn, err := counted(a, &flags, count, func(r *client.GrantsRemoved) string {
				return fmt.Sprintf("This revokes %s and %s.", plural(r.GrantsRevoked, "token"),
					plural(r.ConsentsRevoked, "consent"))
			}, func(r *client.GrantsRemoved) error { return a.printGrantsRemoved(r, true) })
			if !goOn {
				return err
			}
			removed, err := a.client.RemoveGrants(command.Context(), removal)
			if err != nil {
				return err
			}
			return a.printGrantsRemoved(removed, false)
		},
	}
	grantFlags(command, &removal.GrantFilter)
	command.Flags().StringVar(&removal.ID, "id", "", "one grant, by its id")
	command.Flags().StringVar(&removal.Reason, "reason", "", "for the audit")
	flags.add(command)
	return command
}

func (a *app) printGrantsRemoved(r *client.GrantsRemoved, dryRun bool) error {
	o := &outcome{dryRun: dryRun}
	o.add("Tokens", "revoked", "revoke", r.GrantsRevoked)
	o.add("Consents", "revoked", "revoke", r.ConsentsRevoked)
	return a.printOutcome(r, o)
}
