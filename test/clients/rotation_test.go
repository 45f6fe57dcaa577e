package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/jackc/pgx/v5"

	"lockstep/internal/pgtest"
)

const lambdaARN = "arn:aws:lambda:us-east-1:" + account + ":function:postgres"

// TestRotation rotates the passwords of a real PostgreSQL through RotateSecret.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.run(rotationRows)
}

// gate stands before the database and lets connections through only while it
// is open, so that a test sees a rotation under way.
type gate struct {
	port int
	mu   sync.Mutex
	open chan struct{}
}

func (r *rig) gate(to int) *gate {
	r.t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(r.t.Context(), "tcp", "127.0.0.1:0")
	r.must(err)
	r.t.Cleanup(func() { _ = l.Close() })
	g := &gate{port: l.Addr().(*net.TCPAddr).Port, open: make(chan struct{})}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.pass(conn, fmt.Sprintf("127.0.0.1:%d", to))
		}
	}()
	return g
}

func (g *gate) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) pass(conn net.Conn, to string) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
	defer func() { _ = conn.Close() }()
	db, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = db.Close() }()
	go func() { _, _ = io.Copy(db, conn); _ = db.Close() }()
	_, _ = io.Copy(conn, db)
}

// credential is a database credential as AWS shapes it.
type credential struct {
	Engine   string `json:"engine"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	DBName   string `json:"dbname"`
	Username string `json:"username"`
	Password string `json:"password"`
}

func (c credential) text() *string {
	raw, _ := json.Marshal(c) // strings and numbers always marshal
	return aws.String(string(raw))
}

// database makes a role in the test's PostgreSQL and a secret with its
// credential, which leads through a gate.
func (r *rig) database() (made, *gate) {
	r.t.Helper()
	pg := pgtest.Shared(r.t)
	g := r.gate(pg.Port())
	c := credential{"postgres", "127.0.0.1", g.port, pg.Database(r.t), "", "first-one"}
	c.Username = "user_" + c.DBName
	pg.Must(r.t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", c.Username))
	return r.createAs(sm.CreateSecretInput{Name: r.fresh("db"), SecretString: c.text(), ClientRequestToken: aws.String(tok1)}), g
}

// current is the credential of AWSCURRENT and its version.
func (r *rig) current(s made) (credential, string) {
	r.t.Helper()
	out := r.get(sm.GetSecretValueInput{SecretId: s.name})
	var c credential
	r.must(json.Unmarshal([]byte(*out.SecretString), &c))
	return c, *out.VersionId
}

func (r *rig) login(c credential) error {
	r.t.Helper()
	config, err := pgx.ParseConfig("sslmode=disable")
	r.must(err)
	config.Host, config.Port, config.Database = c.Host, uint16(c.Port), c.DBName
	config.User, config.Password = c.Username, c.Password
	conn, err := pgx.ConnectConfig(r.t.Context(), config)
	if err != nil {
		return err
	}
	return conn.Close(r.t.Context())
}

func (r *rig) rotate(in sm.RotateSecretInput) *sm.RotateSecretOutput {
	r.t.Helper()
	out, err := r.client.RotateSecret(r.t.Context(), &in)
	r.must(err)
	return out
}

// rotated waits until this version is AWSCURRENT.
func (r *rig) rotated(s made, version string) {
	r.t.Helper()
	r.eventually("the rotation to "+version, func() bool {
		_, now := r.current(s)
		return now == version
	})
}

func everyDays(n int64) *types.RotationRulesType {
	return &types.RotationRulesType{AutomaticallyAfterDays: &n}
}

func every(expression string) *types.RotationRulesType {
	return &types.RotationRulesType{ScheduleExpression: &expression}
}

var rotationRows = []row{
	{"R10 RotateSecret answers at once with the token as VersionId; AWSPENDING stands on it while the rotation runs", func(r *rig) {
		s, g := r.database()
		out := r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok2), RotationLambdaARN: aws.String(lambdaARN), RotationRules: everyDays(7)})
		if *out.VersionId != tok2 || *out.ARN != *s.arn || *out.Name != *s.name {
			r.t.Errorf("%+v", out)
		}
		r.stagesAre(s, map[string][]string{tok1: {"AWSCURRENT"}, tok2: {"AWSPENDING"}})
		if d := r.describe(s.name); !*d.RotationEnabled || d.LastRotatedDate != nil || d.NextRotationDate == nil {
			r.t.Errorf("%+v", d)
		}
		before, version := r.current(s)
		if version != tok1 {
			r.t.Errorf("AWSCURRENT is %s already", version)
		}
		g.lift()
		r.rotated(s, tok2)
		after, _ := r.current(s)
		r.must(r.login(after))
		if err := r.login(before); err == nil || after.Password == before.Password {
			r.t.Errorf("the old password: %v", err)
		}
	}},
	{"R10 after rotations: the new version AWSCURRENT, the one before AWSPREVIOUS, older ones drop out", func(r *rig) {
		s, g := r.database()
		g.lift()
		for i, token := range []string{tok2, tok3} {
			in := sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: &token}
			if i == 0 {
				in.RotationLambdaARN, in.RotationRules = aws.String("postgres"), everyDays(7)
			}
			r.rotate(in)
			r.rotated(s, token)
		}
		r.stagesAre(s, map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
		if _, listed := r.versions(s.name)[tok1]; !listed {
			r.t.Error("the first version is not even deprecated")
		}
	}},
	{"R2 R7 DescribeSecret after a rotation: LastRotatedDate, NextRotationDate, RotationEnabled, RotationLambdaARN, RotationRules", func(r *rig) {
		s, g := r.database()
		g.lift()
		began := time.Now().Add(-time.Second)
		r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok2), RotationLambdaARN: aws.String(lambdaARN), RotationRules: everyDays(7)})
		r.rotated(s, tok2)
		r.describes(s, "ARN", "Name", "CreatedDate", "LastChangedDate", "LastAccessedDate", "VersionIdsToStages",
			"LastRotatedDate", "NextRotationDate", "RotationEnabled", "RotationLambdaARN", "RotationRules")
		d := r.describe(s.name)
		if *d.RotationLambdaARN != lambdaARN || *d.RotationRules.AutomaticallyAfterDays != 7 || d.LastRotatedDate.Before(began) || time.Since(*d.LastRotatedDate) < 0 {
			r.t.Errorf("%+v", d)
		}
		if days := d.NextRotationDate.Sub(*d.LastRotatedDate).Hours() / 24; days < 6 || days > 8 {
			r.t.Errorf("the next rotation is %.1f days after the last", days)
		}
	}},
	{"R10 a later RotateSecret without parameters uses the stored function and rules", func(r *rig) {
		s, g := r.database()
		g.lift()
		r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok2), RotationLambdaARN: aws.String(lambdaARN), RotationRules: every("rate(4 hours)")})
		r.rotated(s, tok2)
		r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok3)})
		r.rotated(s, tok3)
		if d := r.describe(s.name); *d.RotationLambdaARN != lambdaARN || *d.RotationRules.ScheduleExpression != "rate(4 hours)" {
			r.t.Errorf("%+v", d)
		}
	}},
	{"R10 RotateImmediately=false: a test alone; AWSPENDING has the current value under the new id, and goes", func(r *rig) {
		s, g := r.database()
		out := r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok2), RotationLambdaARN: aws.String("postgres"), RotationRules: everyDays(30), RotateImmediately: aws.Bool(false)})
		if *out.VersionId != tok2 {
			r.t.Errorf("version %s", *out.VersionId)
		}
		r.stagesAre(s, map[string][]string{tok1: {"AWSCURRENT"}, tok2: {"AWSPENDING"}})
		before, _ := r.current(s)
		pending, err := r.client.GetSecretValue(r.t.Context(), &sm.GetSecretValueInput{SecretId: s.name, VersionId: aws.String(tok2), VersionStage: aws.String("AWSPENDING")})
		if err != nil || *pending.SecretString != *before.text() {
			r.t.Errorf("the pending version's value: %v", err)
		}
		g.lift()
		r.eventually("the end of the test", func() bool { return len(r.describe(s.name).VersionIdsToStages) == 1 })
		r.stagesAre(s, map[string][]string{tok1: {"AWSCURRENT"}})
		after, _ := r.current(s)
		d := r.describe(s.name)
		if after != before || !*d.RotationEnabled || d.NextRotationDate == nil || d.LastRotatedDate != nil {
			r.t.Errorf("password changed: %v; %+v", after != before, d)
		}
		r.must(r.login(after))
	}},
	{"D10 while a rotation is under way another is refused; the same token gets the same answer", func(r *rig) {
		s, g := r.database()
		g.lift()
		r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok2), RotationLambdaARN: aws.String("postgres")})
		r.rotated(s, tok2)
		g.shut()
		for range 2 {
			if out := r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok3)}); *out.VersionId != tok3 {
				r.t.Errorf("version %s", *out.VersionId)
			}
		}
		r.eventually("a rotation that cannot be replaced any more", func() bool {
			// One that no worker has taken yet is replaced; then its own token
			// would get the same answer for ever, so the SDK makes a new one.
			err := do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: s.name})(r)
			var refused *types.InvalidRequestException
			return errors.As(err, &refused)
		})
		g.lift()
		r.eventually("AWSPENDING to go", func() bool {
			return !slices.ContainsFunc(stages(r.describe(s.name)), func(l string) bool { return l == "AWSPENDING" })
		})
		after, _ := r.current(s)
		r.must(r.login(after))
	}},
	{"R7 D10 CancelRotateSecret: off, NextRotationDate gone, function and rules stay; a second one is refused", func(r *rig) {
		s, g := r.database()
		g.lift()
		r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok2), RotationLambdaARN: aws.String(lambdaARN), RotationRules: everyDays(7)})
		r.rotated(s, tok2)
		out, err := r.client.CancelRotateSecret(r.t.Context(), &sm.CancelRotateSecretInput{SecretId: s.arn})
		r.must(err)
		d := r.describe(s.name)
		if *out.Name != *s.name || *out.ARN != *s.arn || *d.RotationEnabled || d.NextRotationDate != nil || d.LastRotatedDate == nil ||
			*d.RotationLambdaARN != lambdaARN || *d.RotationRules.AutomaticallyAfterDays != 7 {
			r.t.Errorf("%+v %+v", out, d)
		}
		r.refuses(do((*sm.Client).CancelRotateSecret, sm.CancelRotateSecretInput{SecretId: s.name}), invalidRequest, "")
		r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok3)})
		r.rotated(s, tok3)
		if d := r.describe(s.name); !*d.RotationEnabled || d.NextRotationDate == nil {
			r.t.Errorf("turned on again: %+v", d)
		}
	}},
	{"D10 schedules: rate, cron in UTC, days; NextRotationDate follows", func(r *rig) {
		s, g := r.database()
		g.lift()
		for _, c := range []struct {
			rules *types.RotationRulesType
			due   func(next time.Time) bool
		}{
			{every("rate(4 hours)"), func(n time.Time) bool { return time.Until(n) < 5*time.Hour }},
			{every("rate(10 days)"), func(n time.Time) bool { return time.Until(n) > 8*24*time.Hour && time.Until(n) < 11*24*time.Hour }},
			{every("cron(30 16 * * ? *)"), func(n time.Time) bool { return n.UTC().Hour() >= 16 && time.Until(n) < 32*time.Hour }},
			{&types.RotationRulesType{ScheduleExpression: aws.String("cron(0 8 1 * ? *)"), Duration: aws.String("2h")}, func(n time.Time) bool { return n.UTC().Day() == 1 && n.UTC().Hour() >= 8 && n.UTC().Hour() <= 10 }},
			{everyDays(30), func(n time.Time) bool { return time.Until(n) > 28*24*time.Hour && time.Until(n) < 32*24*time.Hour }},
		} {
			r.rotate(sm.RotateSecretInput{SecretId: s.name, RotationLambdaARN: aws.String("postgres"), RotationRules: c.rules, RotateImmediately: aws.Bool(false)})
			d := r.describe(s.name)
			if d.NextRotationDate == nil || time.Until(*d.NextRotationDate) < 0 || !c.due(*d.NextRotationDate) {
				r.t.Errorf("%s %d: next rotation %s", aws.ToString(c.rules.ScheduleExpression), aws.ToInt64(c.rules.AutomaticallyAfterDays), d.NextRotationDate)
			}
			if got := *d.RotationRules; aws.ToString(got.ScheduleExpression) != aws.ToString(c.rules.ScheduleExpression) || aws.ToString(got.Duration) != aws.ToString(c.rules.Duration) ||
				aws.ToInt64(got.AutomaticallyAfterDays) != aws.ToInt64(c.rules.AutomaticallyAfterDays) {
				r.t.Errorf("rules %+v", got)
			}
			r.eventually("the end of the test", func() bool { return len(r.describe(s.name).VersionIdsToStages) == 1 })
		}
	}},
	{"D10 a value put by hand counts as a rotation for AutomaticallyAfterDays", func(r *rig) {
		s, g := r.database()
		g.lift()
		r.rotate(sm.RotateSecretInput{SecretId: s.name, ClientRequestToken: aws.String(tok2), RotationLambdaARN: aws.String("postgres"), RotationRules: everyDays(7)})
		r.rotated(s, tok2)
		before := r.describe(s.name)
		c, _ := r.current(s)
		c.DBName = "postgres"
		r.put(s, *c.text(), tok3)
		if after := r.describe(s.name); after.NextRotationDate.Before(*before.NextRotationDate) {
			r.t.Errorf("the next rotation moved from %s to %s", before.NextRotationDate, after.NextRotationDate)
		}
	}},
}

func stages(d *sm.DescribeSecretOutput) (all []string) {
	for _, on := range d.VersionIdsToStages {
		all = append(all, on...)
	}
	return all
}
