// Package grants has the cases of grantstore.Store: whether a grant is live, as judged by its session, and
// what a batch does as a whole or not at all.
package grants
