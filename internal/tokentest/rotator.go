package tokentest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// Value is a Secret's value: a token, and where it works.
func Value(url string, t Token) lockstep.Value {
	b, err := json.Marshal(fields{URL: url, ID: t.ID, Token: t.Secret, Note: "kept"})
	if err != nil {
		return lockstep.Value{}
	}
	return lockstep.StringValue(string(b))
}

// Secret is the token in a Value.
func Secret(v lockstep.Value) string {
	f, err := parse(v)
	if err != nil {
		return ""
	}
	return f.Token
}

type fields struct {
	URL     string `json:"url"`
	ID      string `json:"id"`
	Token   string `json:"token"`
	Expires int64  `json:"expires,omitempty"`
	Note    string `json:"note,omitempty"`
}

func parse(v lockstep.Value) (fields, error) {
	var f fields
	if err := json.Unmarshal(v.Bytes(), &f); err != nil {
		return f, fmt.Errorf("the value is not the JSON of a token: %w", lockstep.ErrInvalid)
	}
	if f.URL == "" || f.ID == "" || f.Token == "" {
		return f, fmt.Errorf("the value lacks url, id or token: %w", lockstep.ErrInvalid)
	}
	return f, nil
}

// One is the rotator for a Server with One: nothing is left to be revoked. It has
// no state.
type One struct{ client *http.Client }

// NewOne makes one.
func NewOne() *One {
	return &One{client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // a broken connection is this call's alone
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Traits: the server makes the value, and one is valid.
func (*One) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.OneValue}
}

// Several is the rotator for a Server where many tokens are valid.
type Several struct{ One }

// NewSeveral makes one.
func NewSeveral() *Several { return &Several{*NewOne()} }

// Traits: the server makes the value, and several are valid.
func (*Several) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.TwoValues}
}

// Ephemeral is the rotator for tokens that nobody revokes or lists.
type Ephemeral struct{ one One }

// NewEphemeral makes one.
func NewEphemeral() *Ephemeral { return &Ephemeral{*NewOne()} }

// Traits: the server makes the value, and several are valid.
func (*Ephemeral) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.TwoValues}
}

// Test is One's.
func (e *Ephemeral) Test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	return e.one.Test(ctx, r, v)
}

// Issue is One's.
func (e *Ephemeral) Issue(ctx context.Context, r *rotators.Request) (lockstep.Value, error) {
	return e.one.Issue(ctx, r)
}

// Expires is One's.
func (e *Ephemeral) Expires(v lockstep.Value) (time.Time, error) { return e.one.Expires(v) }

// Expires is what the server said when it issued the token.
func (*One) Expires(v lockstep.Value) (time.Time, error) {
	f, err := parse(v)
	if err != nil || f.Expires == 0 {
		return time.Time{}, err
	}
	return time.Unix(f.Expires, 0), nil
}

// Test asks the server who the token is.
func (o *One) Test(ctx context.Context, _ *rotators.Request, v lockstep.Value) error {
	f, err := parse(v)
	if err != nil {
		return malformed(err)
	}
	_, err = o.do(ctx, request{as: f, method: http.MethodGet, path: "/me", want: http.StatusOK, harmless: true})
	return err
}

// Issue asks for a token under the marker's name, as AWSCURRENT.
func (o *One) Issue(ctx context.Context, r *rotators.Request) (lockstep.Value, error) {
	f, err := parse(r.Current)
	if err != nil {
		return lockstep.Value{}, malformed(err)
	}
	object, err := jsonvalue.Parse(r.Current)
	if err != nil {
		return lockstep.Value{}, malformed(err)
	}
	ctx, cancel, err := inTime(ctx, r)
	if err != nil {
		return lockstep.Value{}, notSent(err)
	}
	defer cancel()
	body, err := o.do(ctx, request{
		as: f, method: http.MethodPost, path: "/tokens", body: map[string]string{"name": string(r.Marker)}, want: http.StatusCreated,
	})
	if err != nil {
		return lockstep.Value{}, err
	}
	var made issueAnswer
	if err := json.Unmarshal(body, &made); err != nil || made.ID == "" || made.Token == "" {
		return lockstep.Value{}, &lockstep.TargetError{Err: errors.New("issue a token: the answer cannot be read")}
	}
	return replaced(object, made)
}

// replaced is AWSCURRENT with another token.
func replaced(object *jsonvalue.Object, made issueAnswer) (lockstep.Value, error) {
	var fields map[string]json.RawMessage
	v, err := object.With("token", made.Token)
	if err == nil {
		err = json.Unmarshal(v.Bytes(), &fields)
	}
	if err != nil {
		return lockstep.Value{}, &lockstep.TargetError{Err: fmt.Errorf("write the new value: %w", err)}
	}
	fields["id"] = json.RawMessage(strconv.Quote(made.ID))
	delete(fields, "expires")
	if made.Expires != 0 {
		fields["expires"] = json.RawMessage(strconv.FormatInt(made.Expires, 10))
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return lockstep.Value{}, &lockstep.TargetError{Err: fmt.Errorf("write the new value: %w", err)}
	}
	return lockstep.StringValue(string(b)), nil
}

// Retire revokes the token of an old value by its id.
func (s *Several) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	f, err := parse(old)
	if err != nil {
		return malformed(err)
	}
	current, err := parse(r.Current)
	if err != nil {
		return malformed(err)
	}
	if f.ID == current.ID {
		return &lockstep.TargetError{
			Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Err: fmt.Errorf("revoke the old token: %w", rotators.ErrCurrents),
		}
	}
	return s.drop(ctx, r, current, f.ID)
}

// Revoke revokes one that was found.
func (s *Several) Revoke(ctx context.Context, r *rotators.Request, m rotators.Marked) error {
	current, err := parse(r.Current)
	if err != nil {
		return malformed(err)
	}
	return s.drop(ctx, r, current, m.ID)
}

// inTime bounds a call by the claim's time. Errors: it is over, nothing is to be
// sent.
func inTime(ctx context.Context, r *rotators.Request) (context.Context, context.CancelFunc, error) {
	now := time.Now()
	until, err := r.Guard.NotAfter(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	if !until.After(now) {
		return nil, nil, errors.New("it is too late for the change under this claim")
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	return ctx, cancel, nil
}

func (s *Several) drop(ctx context.Context, r *rotators.Request, as fields, id string) error {
	ctx, cancel, err := inTime(ctx, r)
	if err != nil {
		return notSent(err)
	}
	defer cancel()
	_, err = s.do(ctx, request{as: as, method: http.MethodDelete, path: "/tokens/" + id, want: http.StatusNoContent, gone: true})
	return err
}

// Marked lists all pages.
func (s *Several) Marked(ctx context.Context, r *rotators.Request) ([]rotators.Marked, error) {
	f, err := parse(r.Current)
	if err != nil {
		return nil, malformed(err)
	}
	var out []rotators.Marked
	for from := 0; ; {
		body, err := s.do(ctx, request{as: f, method: http.MethodGet, path: "/tokens?from=" + strconv.Itoa(from), want: http.StatusOK, harmless: true})
		if err != nil {
			return nil, err
		}
		var p page
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: errors.New("list the tokens: the answer cannot be read")}
		}
		for _, t := range p.Tokens {
			if m, ok := lockstep.ParseMarker(t.Name); ok && m.Of(r.ARN) {
				out = append(out, rotators.Marked{Marker: m, ID: t.ID})
			}
		}
		if from = p.Next; from == 0 {
			return out, nil
		}
	}
}

// request is one call.
type request struct {
	as           fields
	method, path string
	body         map[string]string
	want         int
	// harmless: the call changes nothing. gone: 404 is success.
	harmless, gone bool
}

// mostAnswer bounds an answer, in bytes.
const mostAnswer = 1 << 20

func (o *One) do(ctx context.Context, r request) ([]byte, error) {
	doing := r.method + " " + r.path
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, notSent(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.as.URL+r.path, body)
	if err != nil {
		return nil, malformed(fmt.Errorf("%s: the url cannot be used: %w", doing, lockstep.ErrInvalid))
	}
	req.Header.Set("Authorization", "Bearer "+r.as.Token)
	answer, err := o.client.Do(req)
	if err != nil {
		return nil, trouble(r, fmt.Errorf("%s: %w", doing, err))
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	switch {
	case err != nil:
		return nil, trouble(r, fmt.Errorf("%s: read the answer: %w", doing, err))
	case answer.StatusCode == r.want, r.gone && answer.StatusCode == http.StatusNotFound:
		return text, nil
	}
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s: the server answers %s", doing, answer.Status)}
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		te.Fault, te.Hint = lockstep.FaultRefusedLogin, "put a token that works"
	case answer.StatusCode >= http.StatusInternalServerError:
		if !r.harmless {
			te.Outcome = lockstep.Unknown
		}
	default:
		te.Fault, te.Hint = lockstep.FaultPermanent, "see the right of the token"
	}
	return nil, te
}

// trouble reads an error of the network: only one that never got a connection has
// certainly changed nothing.
func trouble(r request, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Err: err}
	var op *net.OpError
	if r.harmless || errors.As(err, &op) && op.Op == "dial" {
		te.Outcome = lockstep.NotApplied
	}
	return te
}

func malformed(err error) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Hint: `put {"url":"…","id":"…","token":"…"}`, Err: err,
	}
}

func notSent(err error) *lockstep.TargetError {
	return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("nothing was sent: %w", err)}
}
