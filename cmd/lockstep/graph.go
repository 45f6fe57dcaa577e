package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
)

func newGraph(t *target) *cobra.Command {
	return &cobra.Command{
		Use: "graph [NAME]", Short: "Show which secrets are managed by which admin secret",
		Long: `Show which secrets are managed by which admin secret: whose credential changes
theirs at the target, as the masterarn in their values says. An admin stands above
what it manages, and rotates before it in a batch.

With NAME, show the admins above that secret and all that it manages.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			g, err := c.Graph(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			return t.show(cmd, g, func(w io.Writer) { drawGraph(w, g) })
		},
	}
}

// drawing is a Graph as a tree.
type drawing struct {
	w       io.Writer
	managed map[string][]admin.GraphNode // by the admin's ARN
	drawn   map[string]bool
}

func drawGraph(w io.Writer, g admin.Graph) {
	if len(g.Secrets) == 0 {
		row(w, "no secret that rotates has an admin (masterarn)")
		return
	}
	d := drawing{w, map[string][]admin.GraphNode{}, map[string]bool{}}
	for _, n := range g.Secrets {
		if n.Admin != "" {
			d.managed[n.AdminARN] = append(d.managed[n.AdminARN], n)
		}
	}
	for _, n := range g.Secrets {
		if n.Admin == "" {
			d.draw(n, "", "")
		}
	}
	for _, cycle := range g.Cycles {
		_, _ = fmt.Fprintf(w, "cycle: %s\n", strings.Join(append(cycle, cycle[0]), " is managed by "))
	}
	for _, n := range g.Secrets { // what hangs on a cycle
		if n.Admin != "" && !d.drawn[keyOf(n)] {
			d.draw(n, "", "")
		}
	}
	if g.Truncated {
		row(w, "there is more; name a secret to see its own")
	}
}

// draw writes a Secret and below it what it manages.
func (d *drawing) draw(n admin.GraphNode, before, below string) {
	_, _ = fmt.Fprintln(d.w, before+nodeWords(n))
	key := keyOf(n)
	d.drawn[key] = true
	list := d.managed[key]
	for i, m := range list {
		branch, trunk := "├─ ", "│  "
		if i == len(list)-1 {
			branch, trunk = "└─ ", "   "
		}
		if !d.drawn[keyOf(m)] {
			d.draw(m, below+branch, below+trunk)
		}
	}
}

// keyOf is what the AdminARN of others says of a Secret.
func keyOf(n admin.GraphNode) string {
	if n.Missing {
		return n.Name
	}
	return n.ARN
}

func nodeWords(n admin.GraphNode) string {
	switch {
	case n.Missing:
		return n.Name + "  (missing: no secret has this name)"
	case n.Rotator == "":
		return n.Name + "  (does not rotate)"
	}
	return n.Name + "  (" + n.Rotator + ")"
}
