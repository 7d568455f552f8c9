package torture

// The rules of token families.

import "slices"

// family holds what was asked of a code and its tokens.
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

// chain is what led to a token: the attempts, each of which issued what the next one used, up to the one that
// issued it.
type chain []*event

// endsWith reports whether the last issued that refresh token, along with the access token that the chain
// leads to.
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

// token holds one use of a code or token against the rules.
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
				c.violatef(ruleUndead, e, "an access token of before the session's end at %s",
					end.end.Format("15:04:05.000"))
				break
			}
		}
	}
	// A second use of a code or refresh token that was refused has revoked the family.
	for _, reuse := range f.attempts {
		if reuse.Outcome == refused && e.Start.After(reuse.End) && f.consumedBefore(reuse) {
			c.violatef(ruleUndead, e, "the family was revoked at %s", reuse.End.Format("15:04:05.000"))
			break
		}
	}
}

// consumedBefore reports whether what an attempt uses had been consumed for sure when it began.
func (f *family) consumedBefore(attempt *event) bool {
	return slices.ContainsFunc(f.attempts, func(e *event) bool {
		return e.Kind == attempt.Kind && e.Token == attempt.Token && e.Outcome == done &&
			e.End.Before(attempt.Start)
	})
}

// rejected: a refusal needs a reason. An attempt that is not on the token's own way replaced it, revoked it,
// or may have.
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
			r = ruleHalf // something that was to end it did not, and yet its tokens are dead
		}
		c.violatef(r, e, "nothing had revoked it; the session was live")
	case e.Kind == refresh && f.offline && c.survived(s, e):
		c.violatef(ruleLost, e, "offline access outlives a sign-out")
	}
}

// survived reports whether the session ended before the event in a way that offline refresh tokens outlive,
// and in no other.
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
