package main

// jobs show, watch.

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

func (a *app) jobsCommand() *cobra.Command {
	group := &cobra.Command{Use: "jobs", Short: "Removals of many sessions, and swaps"}
	group.AddCommand(&cobra.Command{
		Use: "show ID", Short: "Show the progress of a job",
		RunE: func(command *cobra.Command, arguments []string) error {
			job, err := a.client.Job(command.Context(), arguments[0])
			if err != nil {
				return err
			}
			return a.printJob(job)
		},
	}, &cobra.Command{
		Use: "watch ID", Short: "Watch a job to its end",
		RunE: func(command *cobra.Command, arguments []string) error {
			return a.follow(command.Context(), arguments[0])
		},
	})
	return group
}

func (a *app) printJob(job *client.Job) error {
	pairs := []pair{
		{"Job", or(job.ID)}, {"Kind", or(job.Kind)}, {"State", or(job.State)}, {"Phase", or(job.Phase)},
		{"Started", moment(job.Started)}, {"Finished", moment(job.Finished)},
		{"Done", strconv.Itoa(job.Done) + " of " + number(job.Total)},
	}
	if job.Error != "" {
		pairs = append(pairs, pair{"Error", clean(job.Error)})
	}
	if job.Result != nil {
		pairs = append(pairs, removedOutcome(job.Result, false).pairs...)
	}
	if swap := job.Swap; swap != nil {
		pairs = append(pairs, pair{"From", or(swap.From)}, pair{"To", or(swap.To)},
			pair{"Left", strconv.FormatInt(swap.Left, 10)},
			pair{"Writes held", fmt.Sprintf("%.0f ms", swap.WritesHeldMS)})
	}
	return a.print(job, pairs...)
}
