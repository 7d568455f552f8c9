package main

// deliveries list, retry.

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

func (a *app) deliveriesCommand() *cobra.Command {
	group := &cobra.Command{Use: "deliveries", Short: "Notifications of clients by back-channel logout"}
	group.AddCommand(a.deliveriesList(), a.deliveriesRetry())
	return group
}

func deliveryFlags(command *cobra.Command, filter *client.DeliveryFilter) {
	flags := command.Flags()
	flags.StringVar(&filter.State, "state", "", "pending, delivered, refused or given_up")
	flags.StringVar(&filter.ClientID, "client", "", "exact client id")
	flags.StringVar(&filter.SessionID, "session", "", "exact session id")
	_ = command.RegisterFlagCompletionFunc("state", oneOf("pending", "delivered", "refused", "given_up"))
}

func (a *app) deliveriesList() *cobra.Command {
	var query client.DeliveryQuery
	var list listFlags
	command := &cobra.Command{
		Use: "list", Short: "List notifications, the newest first",
		Example: "  sessionsctl deliveries list --state pending",
		RunE: func(command *cobra.Command, _ []string) (err error) {
			if query.Paging, err = list.paging(); err != nil {
				return err
			}
			return printList(a, a.client.Deliveries(command.Context(), query), list.limit,
				[]string{"ID", "STATE", "CLIENT", "SESSION", "QUEUED", "ATTEMPTS", "NEXT", "LAST ERROR"},
				func(d client.Delivery) []string {
					return []string{
						or(d.ID), or(d.State), or(d.ClientID), or(d.SessionID), moment(d.Queued),
						strconv.Itoa(d.Attempts), moment(d.NextAttempt), or(d.LastError),
					}
				})
		},
	}
	deliveryFlags(command, &query.DeliveryFilter)
	list.add(command)
	return command
}

func (a *app) deliveriesRetry() *cobra.Command {
	var filter client.DeliveryFilter
	var flags careful
	command := &cobra.Command{
		Use: "retry [ID]", Short: "Deliver a notification again, or those that match",
		Example: "  sessionsctl deliveries retry --client demo-photos --state refused --yes",
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx := command.Context()
			if len(arguments) == 1 {
				if filter != (client.DeliveryFilter{}) || flags.dryRun {
					return usagef("an ID excludes --dry-run and conditions")
				}
				delivery, err := a.client.RetryDelivery(ctx, arguments[0])
				if err != nil {
					return err
				}
				return a.print(delivery, pair{"Notification", or(delivery.ID)},
					pair{"State", or(delivery.State)}, pair{"Client", or(delivery.ClientID)},
					pair{"Next attempt", moment(delivery.NextAttempt)})
			}
			if (filter == client.DeliveryFilter{}) {
				return usagef("select notifications: an ID, or at least one of --state, --client, --session")
			}
			count := func() (n int, err error) {
				for _, err := range a.client.Deliveries(ctx, client.DeliveryQuery{
					DeliveryFilter: filter, Paging: client.Paging{Count: 1000},
				}) {
					if err != nil {
						return 0, err
					}
					n++
				}
				return n, nil
			}
			goOn, err := counted(a, &flags, count, func(n int) string {
				return fmt.Sprintf("This delivers %s again.", plural(n, "notification"))
			}, func(n int) error { return a.printRetried(n, true) })
			if !goOn {
				return err
			}
			queued, err := a.client.RetryDeliveries(ctx, filter)
			if err != nil {
				return err
			}
			return a.printRetried(queued, false)
		},
	}
	deliveryFlags(command, &filter)
	flags.add(command)
	return command
}

func (a *app) printRetried(n int, dryRun bool) error {
	o := &outcome{dryRun: dryRun}
	o.add("Notifications", "queued", "queue", n)
	return a.printOutcome(map[string]int{"notifications_queued": n}, o)
}
