// Package grants holds the cases of grantstore.Store: what a grant is worth, as judged by its session, and
// what a batch does as a whole or not at all.
package grants
