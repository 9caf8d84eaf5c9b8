package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/pebble"
	"github.com/holdfast/holdfast/wire"
)

func storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Short: "Look into a store, check it, back it up",
		Long: "Look into the embedded store of a server, check it, back it up and restore it.\n" +
			"The store belongs to one program at a time: stop the server first, or read a running one over its HTTP API.",
	}
	var data string
	cmd.PersistentFlags().StringVar(&data, "data", "holdfast-data", "folder of the store")
	cmd.AddCommand(storeLs(&data), storeCat(&data), storeVerify(&data), storeBackup(&data), storeRestore(&data))
	return cmd
}

// withStore opens the store for as long as fn runs.
func withStore(dir string, fn func(*pebble.Driver) error) error {
	db, err := pebble.OpenExisting(pebble.Options{Dir: dir})
	if err != nil {
		return err
	}
	return errors.Join(fn(db), db.Close())
}

func storeLs(data *string) *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use: "ls", Short: "List the sessions", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(*data, func(db *pebble.Driver) error {
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "SESSION\tEPOCH\tFIRST\tHEAD\tENTRIES\tBYTES\tOPEN RUNS\tCHANGED")
				var after holdfast.SessionID
				for {
					page, err := db.Sessions(cmd.Context(), prefix, after, 1000)
					if err != nil {
						return err
					}
					for _, i := range page {
						fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", i.Session, i.Epoch, i.First, i.Head, i.Entries, i.Bytes,
							len(i.Open), i.Changed.UTC().Format(time.RFC3339))
						after = i.Session
					}
					if len(page) == 0 {
						return w.Flush()
					}
				}
			})
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only sessions whose names begin so")
	return cmd
}

func storeCat(data *string) *cobra.Command {
	var after uint64
	cmd := &cobra.Command{
		Use: "cat SESSION", Short: "Print a session's entries, one JSON object a line", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := holdfast.SessionID(args[0])
			if err := id.Validate(); err != nil {
				return err
			}
			return withStore(*data, func(db *pebble.Driver) error { return cat(cmd, db, id, holdfast.Offset(after)) })
		},
	}
	cmd.Flags().Uint64Var(&after, "after", 0, "only entries after this offset")
	return cmd
}

func cat(cmd *cobra.Command, db driver.Driver, id holdfast.SessionID, after holdfast.Offset) error {
	for {
		page, err := db.Read(cmd.Context(), id, driver.Query{After: after, Limit: 1000})
		if err != nil {
			return err
		}
		if page.Info.Head == 0 {
			return holdfast.Errorf(holdfast.CodeNotFound, "there is no session %s; holdfast store ls lists them", id)
		}
		for i := range page.Entries {
			// The form that readers get, which protocol.md describes.
			line := wire.AppendEntry(nil, "", "", &page.Entries[i])
			if _, err := cmd.OutOrStdout().Write(append(line, '\n')); err != nil {
				return err
			}
			after = page.Entries[i].Offset
		}
		if !page.More {
			return nil
		}
	}
}

func storeVerify(data *string) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Read everything and check that it fits together", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := pebble.Verify(cmd.Context(), *data)
			if err != nil {
				return err
			}
			return printReport(cmd.OutOrStdout(), report)
		},
	}
}

func printReport(w io.Writer, r *pebble.Report) error {
	fmt.Fprintf(w, "%d sessions, %d entries, %d open runs, %d items in the feed\n", r.Sessions, r.Entries, r.OpenRuns, r.FeedItems)
	for _, p := range r.Problems {
		line, err := json.Marshal(p.Text)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "problem in %q: %s\n", p.Session, line)
	}
	if len(r.Problems) > 0 {
		return holdfast.Errorf(holdfast.CodeInternal, "the store is damaged: restore a backup with holdfast store restore")
	}
	_, err := fmt.Fprintln(w, "everything fits together")
	return err
}

func storeBackup(data *string) *cobra.Command {
	return &cobra.Command{
		Use: "backup FOLDER", Short: "Copy the store to a folder that does not exist yet", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := pebble.Backup(*data, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "backed up to %s; holdfast store verify --data %s checks it\n", args[0], args[0])
			return err
		},
	}
}

func storeRestore(data *string) *cobra.Command {
	return &cobra.Command{
		Use: "restore FOLDER", Short: "Make the store from a backup; its own folder must not exist yet", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := pebble.Restore(cmd.Context(), args[0], *data); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "restored to %s\n", *data)
			return err
		},
	}
}
