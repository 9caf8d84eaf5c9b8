package main

import "github.com/spf13/cobra"

func storeCommand() *cobra.Command { return &cobra.Command{Use: "store"} }
