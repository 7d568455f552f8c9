// Package kills is the engines' part of rule 15: it numbers the commits that kill, and tells them in order.
// Its Ring is used by the host too.
package kills
