// Package endings has the cases of logout.Store: what ends with a session, which clients are notified of it,
// and how the queue hands out notifications.
package endings
