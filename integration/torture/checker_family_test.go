package torture

// The rules of token families.

import "slices"

// family checks the calls about a code and its tokens.
func (c *checker) family(f *family) {
	for i, e := range f.attempts {
		for _, other := range f.attempts[:i] {
			if other.Token == e.Token && other.Kind == e.Kind && other.Outcome == done && e.Outcome == done {
				c.violatef(ruleTwice, e, "it had been accepted at %s", other.Start.Format("15:04:05.000"))
			}
		}
		c.token(f, e, f.chain(e.Token))
	}
	for _, e := range f.probes {
		chain := f.chain(e.Token)
		c.token(f, e, chain)
		for _, rotation := range f.attempts {
			if e.Outcome == done && rotation.Kind == refresh && rotation.Outcome == done &&
				e.Start.After(rotation.End.Add(c.terms.copies)) && chain.endsWith(rotation.Token) {
				c.violatef(ruleRotated, e, "it was replaced at %s", rotation.End.Format("15:04:05.000"))
			}
		}
	}
}

// chain is the derivation of a token: attempts, each of which used a token issued by the previous one, up to
// the attempt that issued it.
type chain []*event

// endsWith reports whether the last attempt issued that refresh token together with the access token of the
// chain.
func (c chain) endsWith(refreshToken string) bool {
	return len(c) > 0 && c[len(c)-1].Refresh == refreshToken
}

func (c chain) uses(e *event) bool {
	return slices.ContainsFunc(c, func(x *event) bool {
		return x.Token == e.Token && x.Start.Equal(e.Start) && x.Kind == e.Kind
	})
}

func (f *family) chain(token string) (chain chain) {
	for {
		i := slices.IndexFunc(f.attempts, func(e *event) bool {
			return e.Outcome == done && token != "" && (e.Access == token || e.Refresh == token)
		})
		if i < 0 || len(chain) > len(f.attempts) {
			slices.Reverse(chain)
			return chain
		}
		chain, token = append(chain, f.attempts[i]), f.attempts[i].Token
	}
}

// token checks one use of a code or token against the rules.
func (c *checker) token(f *family, e *event, chain chain) {
	switch e.Outcome {
	case done:
		c.accepted(f, e, chain)
	case refused:
		c.rejected(f, e, chain)
	}
}

func (c *checker) accepted(f *family, e *event, chain chain) {
	s := f.session
	over, strict := c.dead(s)
	if !f.offline || e.Kind == exchange {
		strict = earliest(strict, over)
		strict = earliest(strict, c.expired(s))
	}
	if after(e.Start, strict) {
		c.violatef(ruleUndead, e, "all of the session's tokens were dead from %s",
			strict.Format("15:04:05.000"))
	}
	if e.Kind == introspec && len(chain) > 0 {
		issued := chain[len(chain)-1].End
		for _, end := range s.endings {
			if end.known && issued.Before(end.start) && e.Start.After(end.end) {
				c.violatef(ruleUndead, e, "an access token from before the session's end at %s",
					end.end.Format("15:04:05.000"))
				break
			}
		}
	}
	// A refused second use of a code or refresh token has revoked the family.
	for _, reuse := range f.attempts {
		if reuse.Outcome == refused && e.Start.After(reuse.End) && f.consumedBefore(reuse) {
			c.violatef(ruleUndead, e, "the family was revoked at %s", reuse.End.Format("15:04:05.000"))
			break
		}
	}
}

// consumedBefore reports whether the token of an attempt had certainly been consumed when it began.
func (f *family) consumedBefore(attempt *event) bool {
	return slices.ContainsFunc(f.attempts, func(e *event) bool {
		return e.Kind == attempt.Kind && e.Token == attempt.Token && e.Outcome == done &&
			e.End.Before(attempt.Start)
	})
}

// rejected: a refusal needs a reason. An attempt outside of the token's chain replaced or revoked it, or may
// have.
func (c *checker) rejected(f *family, e *event, chain chain) {
	for _, other := range f.attempts {
		itself := other.Kind == e.Kind && other.Start.Equal(e.Start) && other.Token == e.Token
		if other.Start.Before(e.End) && !chain.uses(other) && !itself {
			return
		}
	}
	s := f.session
	switch {
	case c.notDue(s, e.End) && !c.mayHaveEnded(s, e.End):
		r := ruleLost
		if len(s.endings) > 0 && !s.notEnded.Before(e.End) {
			r = ruleHalf // an ending failed, but its tokens are dead
		}
		c.violatef(r, e, "nothing had revoked it; the session was live")
	case e.Kind == refresh && f.offline && c.survived(s, e):
		c.violatef(ruleLost, e, "offline access outlives a sign-out")
	}
}

// survived reports whether every end of the session before the event was one that offline refresh tokens
// outlive.
func (c *checker) survived(s *session, e *event) bool {
	ended := false
	for _, end := range s.endings {
		if end.strict && end.start.Before(e.End) {
			return false
		}
		ended = ended || (end.known && end.end.Before(e.Start))
	}
	return ended
}
