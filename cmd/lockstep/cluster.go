package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"lockstep/internal/clusterfiles"
	"lockstep/internal/node"
)

func newCluster() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Prepare several servers on one PostgreSQL and one NATS cluster", Args: noArgs}
	cmd.AddCommand(newClusterInit())
	return cmd
}

func newClusterInit() *cobra.Command {
	var dir string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the files that the servers of a cluster share",
		Long: `Make the files that the servers of a cluster share: the root key, the
certificate authority, the login to NATS, and the NATS servers' accounts and
certificates. Hand each machine what it needs; the server's reference has a
table. Over a directory that has them, it keeps keys and passwords and makes
the NATS servers' certificates anew.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(hosts) == 0 {
				return usagef("name the NATS servers by --nats-hosts nats1,nats2,nats3")
			}
			if err := clusterfiles.Init(clusterfiles.Config{Dir: dir, NATSHosts: hosts, RootKey: node.MakeRootKey}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote the files of the cluster to %s; keep a copy of %s elsewhere\n", dir, clusterfiles.RootKeyFile)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "lockstep-cluster", "directory for the files")
	cmd.Flags().StringSliceVar(&hosts, "nats-hosts", nil, "names or addresses of the NATS servers")
	return cmd
}
