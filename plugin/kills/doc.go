// Package kills is the engines' part of rule 15: it numbers the commits that kill tokens and streams the
// kills in order. The host uses its Ring too.
package kills
