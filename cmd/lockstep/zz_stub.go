package main

import "github.com/spf13/cobra"

func stub(n string) *cobra.Command    { return &cobra.Command{Use: n} }
func newWatch(*target) *cobra.Command { return stub("watch") }
func newDemo() *cobra.Command         { return stub("demo") }
