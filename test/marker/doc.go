// Package marker holds the test that no secret value leaks: a run over what the
// server can do, with values that are known, and then a search for each of them,
// in all the forms that a leak may take, in everything that the server wrote.
package marker
