package archtest

// rule says what the packages of one folder may import from this module. The
// root package is free to all; a folder's own packages are free to it, unless
// concrete says otherwise. Tests may import more: they wire real parts.
type rule struct {
	// folder is relative to the module; the longest that fits a package
	// decides.
	folder string
	// may lists folders, each with all that lies below it.
	may []string
}

// everything is for the wiring alone.
const everything = "*"

func rules() []rule {
	return []rule{
		// The ground: the domain, and what is pure or ours to define.
		{folder: ""},
		{folder: "schedule"},
		{folder: "password"},
		{folder: "hsm"},
		{folder: "store"},
		{folder: "rotators", may: []string{"password"}},
		{folder: "rotators/custom", may: []string{"rotators", "store", "keys", "internal/egress"}},
		{folder: "rotators/httptoken", may: []string{"rotators", "internal/egress", "internal/yamltree"}},
		{folder: "rotators/oauth2", may: []string{"rotators", "internal/egress"}},
		{folder: "internal/egress"},
		{folder: "internal/yamltree"},

		// Values and the engine's memory.
		{folder: "keys", may: []string{"store"}},
		{folder: "backup"},
		{folder: "ledger", may: []string{"store", "schedule"}},
		{folder: "keeper", may: []string{"store", "keys", "ledger"}},
		{folder: "runs", may: []string{"store", "schedule", "keeper", "ledger", "password"}},

		// What moves: time, messages, work.
		{folder: "scheduler"},
		{folder: "bus"},
		{folder: "events", may: []string{"bus", "store"}},
		{folder: "workers", may: []string{"bus", "store", "keeper", "runs", "rotators"}},

		// Who may, and the face.
		{folder: "auth", may: []string{"store", "keys"}},
		{folder: "auth/sigv4"},
		{folder: "auth/policy"},
		{folder: "audit", may: []string{"hsm"}},
		{folder: "api", may: []string{"audit", "auth", "keeper", "keys", "password", "runs", "schedule", "store"}},

		// What applications import: nothing of the server.
		{folder: "client", may: []string{"auth/sigv4"}},
		{folder: "client/internal/clienttest", may: []string{everything}},

		// What operators watch.
		{folder: "internal/metrics", may: []string{"bus", "hsm", "store", "workers"}},
		{folder: "internal/tracing", may: []string{"bus", "workers"}},

		// Servers and certificates of our own, for the demo, tests and node.
		{folder: "internal/localca"},
		{folder: "internal/clusterfiles", may: []string{"internal/localca"}},
		{folder: "internal/rootkey", may: []string{"hsm"}},
		{folder: "internal/softhsm"},
		{folder: "internal/harden"},
		{folder: "internal/privateserver", may: []string{"internal/freeport"}},
		{folder: "internal/pgserver", may: []string{"internal/privateserver"}},
		{folder: "internal/pgtest", may: []string{"internal/pgserver"}},
		{folder: "internal/migratedtest", may: []string{"store/sqlstore", "internal/pgserver", "internal/pgtest"}},
		{folder: "internal/providertest"},
		{folder: "internal/tokentest", may: []string{"rotators"}},
		{folder: "internal/oauthtest"},
		{folder: "internal/mariadbtest", may: []string{"internal/privateserver"}},
		{folder: "internal/redistest", may: []string{"internal/freeport", "internal/privateserver"}},

		// What breaks a server on purpose (build tag "faults"), and what holds
		// the house and its documents together.
		{folder: "internal/fault", may: []string{"bus", "events", "rotators", "store", "internal/tokentest"}},
		{folder: "internal/archtest"},
		{folder: "internal/doctest"},
		{folder: "internal/freeport"},
		{folder: "internal/servertest", may: []string{"auth", "client", "internal/freeport"}},

		// The wiring.
		{folder: "internal/node", may: []string{everything}},
		{folder: "bench", may: []string{everything}},
		{folder: "test"},
		{folder: "cmd", may: []string{everything}},
	}
}

// apart lists packages that never import each other, whatever the table says.
func apart() []string { return []string{"scheduler", "workers", "api", "events"} }

// concrete lists the packages behind a seam, and who may know them by name.
// All others see the interface alone. (Tests are free.)
func concrete() map[string][]string {
	wiring := []string{"internal/node"}
	return map[string][]string{
		"store/sqlstore":    {"internal/node", "internal/migratedtest", "bench"}, // bench fills one before a server starts
		"hsm/file":          {"internal/node", "internal/rootkey"},
		"hsm/pkcs11":        {"internal/rootkey"},
		"rotators/mysql":    wiring,
		"rotators/postgres": wiring,
		"rotators/redis":    wiring,
		"rotators/generic":  wiring,
		"rotators/oauth2":   wiring,
		"rotators/custom":   wiring,
		// Recipes are kept with what else is registered, and read before that.
		"rotators/httptoken": {"internal/node", "rotators/custom", "cmd/lockstep"},
	}
}

// notForApplications lists modules that an application must not get by using
// the client.
func notForApplications() []string {
	return []string{
		"github.com/nats-io/nats-server/v2", "modernc.org/sqlite", "github.com/pressly/goose/v3",
		"github.com/spf13/cobra", "github.com/robfig/cron/v3", "github.com/ThalesIgnite/crypto11",
	}
}

// pins lists dependencies whose version is a decision (docs/dependencies.md
// says why), as the go command prints them.
func pins() map[string]string {
	return map[string]string{
		"modernc.org/sqlite":               "v1.58.0",
		"github.com/ThalesIgnite/crypto11": "v1.5.0 => github.com/ThalesGroup/crypto11 v1.5.0",
	}
}
