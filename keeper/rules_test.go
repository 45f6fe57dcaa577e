package keeper_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
)

// A script is calls in order, each with what it must come to. "-" stands for
// a parameter that is left out; what follows "!" is the error.
//
//	create TOKEN VALUE | put TOKEN VALUE [LABEL,LABEL] | update TOKEN VALUE
//	move LABEL TO FROM | delete [force] | restore | get VERSION LABEL [-> VALUE]
var scripts = map[string]struct {
	script string
	labels string
}{
	"a secret without a value has no labels": {`create - -`, ``},
	"the first value is AWSCURRENT":          {`create a one`, `AWSCURRENT=a`},
	"create repeated": {`
		create a one
		create a one`, `AWSCURRENT=a`},
	"create with the token used for other data": {`
		create a one
		create a two ! claimed You can't use ClientRequestToken a because that value is already in use for a version of secret ARN.`, `AWSCURRENT=a`},
	"create of a name that is taken": {`
		create a one
		create b one ! exists The operation failed because the secret NAME already exists.`, `AWSCURRENT=a`},
	"create without a value of a name that is taken": {`
		create a one
		create - - ! exists The operation failed because the secret NAME already exists.`, `AWSCURRENT=a`},
	"put makes AWSCURRENT, and what had it AWSPREVIOUS": {`
		create a one
		put b two`, `AWSCURRENT=b AWSPREVIOUS=a`},
	"put again takes AWSPREVIOUS from its former holder": {`
		create a one
		put b two
		put c three
		get b - -> two
		get a - -> one`, `AWSCURRENT=c AWSPREVIOUS=b`},
	"same token, same data": {`
		create a one
		put b two
		put b two
		put a one`, `AWSCURRENT=b AWSPREVIOUS=a`},
	"same token, other data": {`
		create a one
		put a two ! claimed You can't use ClientRequestToken a because that value is already in use for a version of secret ARN.
		update a two ! claimed You can't use ClientRequestToken a because that value is already in use for a version of secret ARN.`, `AWSCURRENT=a`},
	"same data, new token": {`
		create a one
		put b one`, `AWSCURRENT=b AWSPREVIOUS=a`},
	"update with a value makes AWSCURRENT": {`
		create a one
		update b two
		update b two`, `AWSCURRENT=b AWSPREVIOUS=a`},
	"labels without AWSCURRENT leave it where it is": {`
		create a one
		put b two AWSPENDING`, `AWSCURRENT=a AWSPENDING=b`},
	"the first value gets AWSCURRENT whatever the labels": {`
		create - -
		put a one AWSPENDING`, `AWSCURRENT=a AWSPENDING=a`},
	"labels are free": {`
		create a one
		put b two AWSSOMETHING,PENDING,one`, `AWSCURRENT=a AWSSOMETHING=b PENDING=b one=b`},
	"a label is on one version": {`
		create a one
		put b two one
		put c three one`, `AWSCURRENT=a one=c`},
	"AWSPENDING vanishes from the version that AWSCURRENT leaves by a put": {`
		create a one
		put b two AWSPENDING
		move AWSCURRENT b a
		put c three`, `AWSCURRENT=c AWSPREVIOUS=b`},
	"custom labels stay on it": {`
		create a one
		move mine a -
		put b two`, `AWSCURRENT=b AWSPREVIOUS=a mine=a`},
	"AWSCURRENT moved onto the version with AWSPENDING leaves both": {`
		create a one
		put b two AWSPENDING
		move AWSCURRENT b a`, `AWSCURRENT=b AWSPENDING=b AWSPREVIOUS=a`},
	"AWSCURRENT moved back swaps": {`
		create a one
		put b two
		move AWSCURRENT a b`, `AWSCURRENT=a AWSPREVIOUS=b`},
	"a held label needs its holder named": {`
		create a one
		put b two
		move AWSCURRENT a - ! invalid The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version b, so you must explicitly reference that version in RemoveFromVersionId.
		move AWSCURRENT a a ! invalid Staging label AWSCURRENT is not attached to version a, which RemoveFromVersionId names.`, `AWSCURRENT=b AWSPREVIOUS=a`},
	"a label taken off": {`
		create a one
		put b two AWSPENDING
		move AWSPENDING - b`, `AWSCURRENT=a`},
	"AWSCURRENT can't be taken off": {`
		create a one
		move AWSCURRENT - a ! invalid You can move staging label AWSCURRENT to another version, but you can't remove it.`, `AWSCURRENT=a`},
	"unknown versions": {`
		create a one
		move one nobody - ! missing Secrets Manager can't find the specified secret value for VersionId: nobody
		move AWSCURRENT a nobody ! missing Secrets Manager can't find the specified secret value for VersionId: nobody`, `AWSCURRENT=a`},

	"get": {`
		create a one
		put b two
		get - - -> two
		get - AWSPREVIOUS -> one
		get a - -> one
		get b AWSCURRENT -> two
		get - nowhere ! missing Secrets Manager can't find the specified secret value for staging label: nowhere
		get c - ! missing Secrets Manager can't find the specified secret value for VersionId: c
		get c AWSCURRENT ! missing Secrets Manager can't find the specified secret value for VersionId: c
		get a AWSCURRENT ! state You provided a VersionStage that is not associated to the provided VersionId.`, `AWSCURRENT=b AWSPREVIOUS=a`},
	"get of a secret without a value": {`
		create - -
		get - - ! missing Secrets Manager can't find the specified secret value for staging label: AWSCURRENT`, ``},

	"marked for deletion": {`
		create a one
		delete
		get - - ! state You can't perform this operation on the secret because it was marked for deletion.
		put b two ! state You can't perform this operation on the secret because it was marked for deletion.
		update b two ! state You can't perform this operation on the secret because it was marked for deletion.
		move one a - ! state You can't perform this operation on the secret because it was marked for deletion.
		tag ! state You can't perform this operation on the secret because it was marked for deletion.
		untag ! state You can't perform this operation on the secret because it was marked for deletion.
		delete ! state You can't perform this operation on the secret because it was marked for deletion.
		create a one ! state You can't create this secret because a secret with this name is already scheduled for deletion.`, `AWSCURRENT=a`},
	"restored": {`
		create a one
		delete
		restore
		restore
		get - - -> one`, `AWSCURRENT=a`},
	"a forced deletion frees the name": {`
		create a one
		delete force
		get - - ! missing Secrets Manager can't find the specified secret.
		restore ! missing Secrets Manager can't find the specified secret.
		delete force ! missing Secrets Manager can't find the specified secret.
		create a two
		get - - -> two`, `AWSCURRENT=a`},
	"a marked secret can be forced": {`
		create a one
		delete
		delete force
		create b two`, `AWSCURRENT=b`},
}

var kinds = map[string]error{
	"claimed": lockstep.ErrVersionClaimed, "exists": lockstep.ErrExists, "missing": lockstep.ErrNotFound,
	"state": lockstep.ErrState, "invalid": lockstep.ErrInvalid,
}

func TestRules(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		for rule, c := range scripts {
			t.Run(rule, func(t *testing.T) {
				name := "rules/" + strings.ReplaceAll(rule, " ", "-")
				for line := range strings.SplitSeq(strings.TrimSpace(c.script), "\n") {
					w.play(t, name, strings.TrimSpace(line))
				}
				if got := w.labels(name); got != c.labels {
					t.Errorf("labels are %q, want %q", got, c.labels)
				}
			})
		}
		w.healthy()
	})
}

// play makes one call of a script and checks what it comes to.
func (w *world) play(t *testing.T, name, line string) {
	t.Helper()
	var arn string
	if d, err := w.Describe(t.Context(), ref(name)); err == nil {
		arn = string(d.Secret.ARN)
	}
	call, wantErr, refused := strings.Cut(line, " ! ")
	call, want, _ := strings.Cut(call, " -> ")
	got, err := w.call(t.Context(), name, strings.Fields(call))
	if !refused {
		if err != nil || got != want {
			t.Fatalf("%s: got %q, %v, want %q", call, got, err, want)
		}
		return
	}
	kind, text, _ := strings.Cut(wantErr, " ")
	text = strings.NewReplacer("ARN.", arn+".", "NAME", name).Replace(text)
	var refusal *lockstep.Refusal
	if !errors.As(err, &refusal) || !errors.Is(err, kinds[kind]) || refusal.Message != text {
		t.Fatalf("%s: got %v\nwant %s: %s", call, err, kind, text)
	}
}

func (w *world) call(ctx context.Context, name string, words []string) (string, error) {
	arg := func(i int) string {
		if i >= len(words) || words[i] == "-" {
			return ""
		}
		return words[i]
	}
	token, value := lockstep.VersionID(arg(1)), lockstep.StringValue(arg(2))
	var err error
	switch words[0] {
	case "create":
		_, err = w.create(name, arg(1), arg(2))
	case "put":
		var stages []lockstep.Stage
		for s := range strings.SplitSeq(arg(3), ",") {
			if s != "" {
				stages = append(stages, lockstep.Stage(s))
			}
		}
		_, err = w.Put(ctx, ref(name), keeper.PutInput{Token: token, Value: value, Stages: stages})
	case "update":
		_, err = w.Update(ctx, ref(name), keeper.UpdateInput{Token: token, Value: value})
	case "move":
		_, err = w.MoveStage(ctx, ref(name), keeper.MoveStageInput{
			Stage: lockstep.Stage(words[1]), To: lockstep.VersionID(arg(2)), From: lockstep.VersionID(arg(3)),
		})
	case "delete":
		_, err = w.Delete(ctx, ref(name), keeper.DeleteInput{Force: arg(1) == "force"})
	case "restore":
		_, err = w.Restore(ctx, ref(name))
	case "tag":
		err = w.Tag(ctx, ref(name), []lockstep.Tag{{Key: "k"}})
	case "untag":
		err = w.Untag(ctx, ref(name), []string{"k"})
	case "get":
		var out keeper.GetOutput
		out, err = w.Get(ctx, ref(name), keeper.GetInput{Version: token, Stage: lockstep.Stage(arg(2))})
		return out.Value.Reveal(), err
	}
	return "", err
}

func TestAnswers(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		empty, err := w.create("empty", "", "")
		w.must(err)
		if empty.Version != "" || empty.Stages != nil {
			t.Errorf("create without a value answers version %q, %v", empty.Version, empty.Stages)
		}
		first, err := w.create("a", "t1", "one")
		w.must(err)
		again, err := w.create("a", "t1", "one")
		w.must(err)
		if first.Version != "t1" || again.Version != "t1" || again.Secret.ARN != first.Secret.ARN {
			t.Errorf("create repeated: %s %s, %s %s", first.Version, again.Version, first.Secret.ARN, again.Secret.ARN)
		}
		out, err := w.put("empty", "t2", "two", "zeta", "AWSPENDING", "alpha")
		w.must(err)
		if got := joined(out.Stages); got != "zeta AWSPENDING alpha AWSCURRENT" {
			t.Errorf("put answers %s; the order is the request's, AWSCURRENT is added", got)
		}
		out, err = w.Update(t.Context(), ref("a"), keeper.UpdateInput{})
		w.must(err)
		if out.Version != "" {
			t.Errorf("update without a value answers version %s", out.Version)
		}
		w.must(err)
		for _, id := range []string{"a", string(first.Secret.ARN), string(first.Secret.ARN[:len(first.Secret.ARN)-7])} {
			d, err := w.Describe(t.Context(), ref(id))
			if err != nil || d.Secret.ARN != first.Secret.ARN {
				t.Errorf("describe %s: %v", id, err)
			}
		}
	})
}

func joined(stages []lockstep.Stage) string {
	out := make([]string, 0, len(stages))
	for _, s := range stages {
		out = append(out, string(s))
	}
	return strings.Join(out, " ")
}

func TestFreedNameGetsAnotherARN(t *testing.T) {
	w := onSQLite(t)
	old := w.made("a", "t1", "one").ARN
	_, err := w.Delete(t.Context(), ref("a"), keeper.DeleteInput{Force: true})
	w.must(err)
	if now := w.made("a", "t1", "one").ARN; now == old {
		t.Errorf("the name was used again with the same ARN %s", now)
	}
	if _, err := w.Describe(t.Context(), ref(string(old))); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("the old ARN finds the new secret: %v", err)
	}
}

func TestUpdateFields(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.made("a", "t1", "one")
		text := func(s string) *string { return &s }
		_, err := w.Update(t.Context(), ref("a"), keeper.UpdateInput{Description: text("first"), Type: text("kind")})
		w.must(err)
		_, err = w.Update(t.Context(), ref("a"), keeper.UpdateInput{Token: "t2", Value: lockstep.StringValue("two"), Description: text("second")})
		w.must(err)
		_, err = w.put("a", "t3", "three")
		w.must(err)
		s := w.secret("a")
		if s.Description != "second" || s.Type != "kind" {
			t.Errorf("got %q, %q", s.Description, s.Type)
		}
		_, err = w.Update(t.Context(), ref("a"), keeper.UpdateInput{Token: "t2", Value: lockstep.StringValue("two"), Description: text("late")})
		w.must(err)
		if got := w.secret("a"); got.Description != "second" || !got.Changed.Equal(s.Changed) {
			t.Errorf("a repeated call changed the secret: %q at %v", got.Description, got.Changed)
		}
	})
}

func TestUnusableKeyIsRefused(t *testing.T) {
	w := onSQLite(t)
	w.made("a", "t1", "one")
	nobody := "no-such-key"
	_, createErr := w.Create(t.Context(), keeper.CreateInput{Owner: home, Name: "b", KMSKeyID: nobody})
	_, updateErr := w.Update(t.Context(), ref("a"), keeper.UpdateInput{KMSKeyID: &nobody})
	_, valueErr := w.Update(t.Context(), ref("a"), keeper.UpdateInput{KMSKeyID: &nobody, Token: "t2", Value: lockstep.StringValue("two")})
	for call, err := range map[string]error{"create": createErr, "update": updateErr, "update with a value": valueErr} {
		if !errors.Is(err, lockstep.ErrNotFound) {
			t.Errorf("%s: got %v, want the key not found", call, err)
		}
	}
	if got := w.secret("a").KMSKeyID; got != "" {
		t.Errorf("the secret names key %q", got)
	}
	_, err := w.put("a", "t3", "three")
	w.must(err)
}

func TestLimits(t *testing.T) {
	w := onSQLite(t)
	w.made("a", "t1", strings.Repeat("x", lockstep.MaxValueBytes))
	tooLong := strings.Repeat("x", lockstep.MaxValueBytes+1)
	tags := make([]lockstep.Tag, keeper.MaxTags+1)
	for i := range tags {
		tags[i].Key = strings.Repeat("k", i+1)
	}
	_, putErr := w.put("a", "t2", tooLong)
	_, createErr := w.create("b", "t1", tooLong)
	_, tagsErr := w.Create(t.Context(), keeper.CreateInput{Owner: home, Name: "c", Tags: tags})
	tagErr := w.Tag(t.Context(), ref("a"), tags)
	for call, err := range map[string]error{"put": putErr, "create": createErr, "create with tags": tagsErr, "tag": tagErr} {
		if !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%s: got %v", call, err)
		}
	}
	if got := strings.Join(w.versions("a"), " "); got != "t1" || len(w.secret("a").Tags) != 0 {
		t.Errorf("something was stored: %s", got)
	}
	for _, name := range []string{"b", "c"} {
		if _, err := w.Describe(t.Context(), ref(name)); !errors.Is(err, lockstep.ErrNotFound) {
			t.Errorf("%s was stored", name)
		}
	}
}

func TestTags(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.made("a", "t1", "one")
		if tags := w.secret("a").Tags; tags != nil {
			t.Errorf("never tagged: %v", tags)
		}
		w.must(w.Tag(t.Context(), ref("a"), []lockstep.Tag{{Key: "x", Value: "1"}, {Key: "y", Value: "2"}}))
		w.must(w.Tag(t.Context(), ref("a"), []lockstep.Tag{{Key: "x", Value: "3"}, {Key: "z"}}))
		w.must(w.Untag(t.Context(), ref("a"), []string{"y", "nobody"}))
		if tags := w.secret("a").Tags; len(tags) != 2 || tags[0] != (lockstep.Tag{Key: "x", Value: "3"}) || tags[1].Key != "z" {
			t.Errorf("got %v", tags)
		}
		w.must(w.Untag(t.Context(), ref("a"), []string{"x", "z"}))
		if tags := w.secret("a").Tags; tags == nil || len(tags) != 0 {
			t.Errorf("after the last tag was removed: %#v, want empty and not nil", tags)
		}
	})
}

func TestDates(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		s := w.made("a", "t1", "one")
		if !s.Created.Equal(s.Changed) || s.Created.Nanosecond()%1e6 != 0 || !s.Accessed.IsZero() {
			t.Errorf("created %v, changed %v, accessed %v", s.Created, s.Changed, s.Accessed)
		}
		text := func(s string) *string { return &s }
		ctx := t.Context()
		changes := map[string]func() error{
			"put": func() error { _, err := w.put("a", "t2", "two"); return err },
			"description": func() error {
				_, err := w.Update(ctx, ref("a"), keeper.UpdateInput{Description: text("d")})
				return err
			},
			"tag":   func() error { return w.Tag(ctx, ref("a"), []lockstep.Tag{{Key: "k"}}) },
			"untag": func() error { return w.Untag(ctx, ref("a"), []string{"k"}) },
			"move": func() error {
				_, err := w.MoveStage(ctx, ref("a"), keeper.MoveStageInput{Stage: "x", To: "t1"})
				return err
			},
			"policy":    func() error { _, err := w.PutPolicy(ctx, ref("a"), "{}"); return err },
			"no policy": func() error { _, err := w.DeletePolicy(ctx, ref("a")); return err },
			"delete":    func() error { _, err := w.Delete(ctx, ref("a"), keeper.DeleteInput{}); return err },
			"restore":   func() error { _, err := w.Restore(ctx, ref("a")); return err },
		}
		order := []string{"put", "description", "tag", "untag", "move", "policy", "no policy", "delete", "restore"}
		for _, name := range order {
			before := w.secret("a").Changed
			w.must(changes[name]())
			if after := w.secret("a").Changed; after.UnixMilli() <= before.UnixMilli() {
				t.Errorf("%s: changed at %v, before at %v", name, after, before)
			}
		}
		for _, name := range []string{"put", "description", "move", "no policy", "restore", "untag"} {
			before := w.secret("a").Changed
			w.must(changes[name]())
			if after := w.secret("a").Changed; !after.Equal(before) {
				t.Errorf("%s repeated: changed at %v, though nothing changed", name, after)
			}
		}
	})
}

func TestAccessed(t *testing.T) {
	w := onSQLite(t)
	w.made("a", "t1", "one")
	_, err := w.put("a", "t2", "two")
	w.must(err)
	changed := w.secret("a").Changed
	read := func(version string) {
		t.Helper()
		_, err := w.Get(t.Context(), ref("a"), keeper.GetInput{Version: lockstep.VersionID(version)})
		w.must(err)
	}
	read("t1")
	today := w.secret("a").Accessed
	if today.IsZero() || !today.Equal(today.UTC().Truncate(24*time.Hour)) {
		t.Errorf("accessed %v, want the day", today)
	}
	if !w.version("a", "t1").Accessed.Equal(today) || !w.version("a", "t2").Accessed.IsZero() {
		t.Error("only the version that was read was read")
	}
	w.ahead.Store(int64(48 * time.Hour))
	read("t2")
	if got := w.secret("a").Accessed; !got.Equal(today.Add(48 * time.Hour)) {
		t.Errorf("two days later: %v", got)
	}
	if !w.version("a", "t1").Accessed.Equal(today) || !w.secret("a").Changed.Equal(changed) {
		t.Error("a read is no change")
	}
}

func TestDeletionDate(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		for window, want := range map[time.Duration]time.Duration{0: 30 * 24 * time.Hour, 7 * 24 * time.Hour: 7 * 24 * time.Hour} {
			name := "d/" + window.String()
			s := w.made(name, "t1", "one")
			d, err := w.Delete(t.Context(), ref(name), keeper.DeleteInput{Window: window})
			w.must(err)
			if left := d.Secret.DeleteAt.Sub(s.Created); left < want || left > want+time.Minute {
				t.Errorf("deleted after %v, want %v", left, want)
			}
			_, err = w.Restore(t.Context(), ref(name))
			w.must(err)
			if !w.secret(name).DeleteAt.IsZero() {
				t.Error("restored, and still has a date")
			}
			if got := eventTypes(w.events(s.ID)); got != "secret.created secret.deleted secret.restored" {
				t.Errorf("events: %s", got)
			}
		}
	})
}

func TestWhoMayNotGoesNoFurther(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		s := w.made("a", "t1", "one")
		asked := 0
		denied := keeper.Ref{Owner: home, ID: "a", Allow: func(*lockstep.Secret) error { asked++; return lockstep.ErrDenied }}
		ctx := t.Context()
		text := "x"
		calls := map[string]func() error{
			"get":      func() error { _, err := w.Get(ctx, denied, keeper.GetInput{}); return err },
			"describe": func() error { _, err := w.Describe(ctx, denied); return err },
			"versions": func() error { _, err := w.ListVersions(ctx, denied); return err },
			"put": func() error {
				_, err := w.Put(ctx, denied, keeper.PutInput{Token: "t2", Value: lockstep.StringValue("x")})
				return err
			},
			"update": func() error { _, err := w.Update(ctx, denied, keeper.UpdateInput{Description: &text}); return err },
			"key":    func() error { _, err := w.Update(ctx, denied, keeper.UpdateInput{KMSKeyID: &text}); return err },
			"move": func() error {
				_, err := w.MoveStage(ctx, denied, keeper.MoveStageInput{Stage: "x", To: "t1"})
				return err
			},
			"delete":  func() error { _, err := w.Delete(ctx, denied, keeper.DeleteInput{Force: true}); return err },
			"restore": func() error { _, err := w.Restore(ctx, denied); return err },
			"tag":     func() error { return w.Tag(ctx, denied, []lockstep.Tag{{Key: "k"}}) },
			"untag":   func() error { return w.Untag(ctx, denied, []string{"k"}) },
			"policy":  func() error { _, err := w.PutPolicy(ctx, denied, "{}"); return err },
		}
		for name, call := range calls {
			asked = 0
			if err := call(); !errors.Is(err, lockstep.ErrDenied) || asked == 0 {
				t.Errorf("%s: got %v, asked %d times", name, err, asked)
			}
		}
		now := w.secret("a")
		if !now.Changed.Equal(s.Changed) || !now.Accessed.IsZero() || w.labels("a") != "AWSCURRENT=t1" {
			t.Error("something was written")
		}
	})
}

func TestOwnersAreApart(t *testing.T) {
	w := onSQLite(t)
	w.made("a", "t1", "one")
	for _, owner := range []struct {
		account lockstep.AccountID
		region  lockstep.Region
	}{{"111111111111", "us-east-1"}, {"000000000000", "eu-west-1"}} {
		r := ref("a")
		r.Owner.Account, r.Owner.Region = owner.account, owner.region
		if _, err := w.Get(t.Context(), r, keeper.GetInput{}); !errors.Is(err, keeper.ErrNoSecret) {
			t.Errorf("%v finds it: %v", owner, err)
		}
	}
}
