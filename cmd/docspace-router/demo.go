package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"docspace-router/internal/demo"
)

func newDemo(env environment) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Shows the gateway at work with a simulated portal, on this machine",
		Long: `demo starts a simulated DocSpace portal and the gateway on loopback addresses, with a
database and a rules file in a temporary folder, uploads files and shows what becomes of
them. It needs no portal, no network and no configuration.

With --once it verifies everything it shows and ends, with exit status 1 if anything is
not as it should be. Without, it goes on until it is interrupted, with an upload every few
seconds, so that you can look around, edit the rules file, break it and mend it.`,
		Example: `  docspace-router demo --once
  docspace-router demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The temporary folder is to be removed also when the demo is interrupted.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			context.AfterFunc(ctx, stop)
			return findings(demo.Run(ctx, demo.Options{Out: env.stdout, Once: once, Version: buildVersion()}))
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "verify what is shown and end")
	return cmd
}
