package jsonvalue

// Pair is the two users of a Secret of two accounts: the one that was there
// first, which is the model or the owner of everything, and its clone.
type Pair struct{ Owner, Clone string }

// Both are in one order for every change.
func (p Pair) Both() []string { return []string{p.Owner, p.Clone} }

// Other is the user that user is not.
func (p Pair) Other(user string) string {
	if user == p.Owner {
		return p.Clone
	}
	return p.Owner
}
