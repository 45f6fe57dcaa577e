package mutations

// edit is one replacement.
type edit struct{ file, old, new string }

// suite is tests of a package, by -run, with further arguments.
type suite struct {
	pkg, run string
	args     []string
}

// mutation is one rule taken away.
type mutation struct {
	name     string
	edits    []edit
	caughtBy []suite
}

func all() []*mutation {
	return []*mutation{
		{
			name: "the target is told before the value is stored",
			edits: []edit{
				{"workers/ahead.go", `if job.Seq != 1 || job.Version == "" {`, `if job.Seq != -1 {`},
				{"workers/steps.go", `	if err := c.claim.Created(ctx, pending); err != nil {
		return err
	}
	c.stored(value)`, `	c.values.Pending = value
	if err := c.tell(ctx, c.request()); err != nil {
		return c.fail(ctx, lockstep.AsTargetError(err))
	}
	if err := c.claim.Created(ctx, pending); err != nil {
		return err
	}
	c.stored(value)`},
			},
			caughtBy: []suite{{pkg: "workers", run: "^TestTheTargetIsToldWhatIsStored$"}},
		},
		{
			name: "a job is acknowledged before its work is committed",
			edits: []edit{{"workers/pool.go", `	err = p.work(seen, job, holder)
`, `	p.settled(ctx, d.Ack(ctx))
	err = p.work(seen, job, holder)
`}},
			caughtBy: []suite{{pkg: "workers", run: "^TestTheQueueKeepsAJobUntilItsWorkIsStored$"}},
		},
		{
			name: "no fence in the WHERE of a claim's writes",
			edits: []edit{
				{"store/sqlstore/slots.go", "const holds = ` WHERE secret = $1 AND fence = $2 AND holder = $3 AND", "const holds = ` WHERE secret = $1 AND fence >= $2 AND holder = $3 AND"},
				{"store/sqlstore/slots.go", "WHERE secrets.id = $1 AND l.fence = $2 AND", "WHERE secrets.id = $1 AND l.fence >= $2 AND"},
			},
			caughtBy: []suite{{pkg: "store/sqlstore", run: "^TestSQLite$"}},
		},

		{
			name: "no lease in the WHERE of a claim's writes",
			edits: []edit{
				{"store/sqlstore/slots.go", "const holds = ` WHERE secret = $1 AND fence = $2 AND holder = $3 AND expires > @now`", "const holds = ` WHERE secret = $1 AND ($2 >= 0 OR holder = $3 OR expires > @now)`"},
				{"store/sqlstore/slots.go", "l.fence = $2 AND l.holder = $3 AND l.expires > @now @lock", "($2 >= 0 OR l.holder = $3 OR l.expires > @now) @lock"},
			},
			caughtBy: []suite{{pkg: "runs", run: "^TestEveryWriteOfAStaleLeaseIsRefused$"}},
		},
		{
			name:     "no message id",
			edits:    []edit{{"bus/publish.go", `jetstream.WithMsgID(m.ID), jetstream.WithExpectStream(stream), jetstream.WithStallWait`, `jetstream.WithExpectStream(stream), jetstream.WithStallWait`}},
			caughtBy: []suite{{pkg: "bus", run: "^TestRepeatedEventIsTakenOnce$"}},
		},
		{
			name:     "no marker at the target",
			edits:    []edit{{"rotators/postgres/change.go", `IF found[2] <> %[3]s OR found[1]::numeric > %[4]d THEN`, `IF found[2] <> %[3]s OR (false AND found[1]::numeric > %[4]d) THEN`}},
			caughtBy: []suite{{pkg: "rotators/postgres", run: "^TestConformance$"}},
		},
		{
			name:     "not-after is ignored",
			edits:    []edit{{"rotators/postgres/change.go", `IF clock_timestamp() > %s::timestamptz THEN`, `IF %s::timestamptz < '-infinity' THEN`}},
			caughtBy: []suite{{pkg: "rotators/postgres", run: "^TestConformance$"}},
		},
		{
			name:     "finish although AWSCURRENT was moved",
			edits:    []edit{{"ledger/current.go", `CurrentIsBase: b.Stages[lockstep.Current] == run.Base,`, `CurrentIsBase: true,`}},
			caughtBy: []suite{{pkg: "ledger", run: "^TestFinishRefused$"}},
		},
		{
			name:     "a run does not wait for a retirement",
			edits:    []edit{{"runs/claim.go", `if !v.Retirement.Blocks() {`, `if v.ID != "" {`}},
			caughtBy: []suite{{pkg: "runs", run: "^TestARunWaitsForARetirement$"}},
		},
		{
			name: "the old account is shut before finish",
			edits: []edit{{"workers/steps.go", `func (c *carrier) finish(ctx context.Context) error {
`, `func (c *carrier) finish(ctx context.Context) error {
	if retirer, ok := c.rotator.(rotators.Retirer); ok {
		r := c.request()
		r.Current, r.Pending = c.values.Pending, lockstep.Value{}
		if err := retirer.Retire(ctx, r, c.values.Current); err != nil {
			return c.fail(ctx, lockstep.AsTargetError(err))
		}
	}
`}},
			caughtBy: []suite{{pkg: "workers", run: "^TestTheOldAccountLivesUntilItIsRetired$"}},
		},
		{
			name:     "AWSCURRENT's own account is retired",
			edits:    []edit{{"runs/retire.go", `same := current.ID == v.ID || (oneValue && current.Account != "" && current.Account == v.Account)`, `same := oneValue && current.ID == "" && v.ID == ""`}},
			caughtBy: []suite{{pkg: "runs", run: "^TestRetireLeavesAloneWhatAWSCURRENTUses$"}},
		},
		{
			name: "an outbox row is marked before its job is published",
			edits: []edit{{"events/sendjobs.go", `	verdicts, err := r.publishJobs(ctx, jobs)
`, `	var rows []int64
	for _, j := range jobs {
		rows = append(rows, j.Row)
	}
	if err := r.mark(ctx, func(tx store.Tx) error { return tx.JobsSent(rows) }); err != nil {
		return 0, err
	}
	verdicts, err := r.publishJobs(ctx, jobs)
`}},
			caughtBy: []suite{{pkg: "events", run: "^TestBusySubjectKeepsTheRow$"}},
		},
		{
			name:     "the slot is freed although a call may yet land",
			edits:    []edit{{"runs/fail.go", `return te.Outcome == lockstep.Unknown && w.run.State == lockstep.RunSetting`, `return te.Outcome == lockstep.Unknown && w.run.State == ""`}},
			caughtBy: []suite{{pkg: "workers", run: "^TestALostAnswer$"}},
		},
		{
			name: "a retirement frees its slot although its call may yet land",
			edits: []edit{{"runs/steps.go", `	if w.claim.mayLand {
		return nil
	}
	return w.release()`, `	return w.release()`}},
			caughtBy: []suite{{pkg: "runs", run: "^TestARetirementWithoutAnAnswerKeepsItsSlot$"}},
		},
	}
}
