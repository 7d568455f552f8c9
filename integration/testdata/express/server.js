// A relying party as express-openid-connect's documentation shows it: every page asks for a sign-in, sessions are kept in a store, and
// the provider ends them by Back-Channel Logout. Its settings come as JSON in the environment, secrets among them.
import express from 'express';
import { auth } from 'express-openid-connect';

const settings = JSON.parse(process.env.RELYING_PARTY);

// MemoryStore is the least that a session store must do.
class MemoryStore {
  #sessions = new Map();
  get(id, done) { done(null, this.#sessions.get(id)); }
  set(id, session, done) { this.#sessions.set(id, session); done(null); }
  destroy(id, done) { this.#sessions.delete(id); done(null); }
}

const app = express();
app.use(auth({
  issuerBaseURL: settings.issuer,
  baseURL: settings.url,
  clientID: settings.client_id,
  clientSecret: settings.client_secret,
  secret: settings.cookie_secret,
  authorizationParams: { response_type: 'code', scope: 'openid profile offline_access' },
  session: { name: settings.cookie_name, store: new MemoryStore() },
  backchannelLogout: true,
  idpLogout: true,
  routes: { postLogoutRedirect: settings.url + '/bye' },
  authRequired: false,
}));
app.get('/bye', (req, res) => res.send('bye'));
app.get('/page', (req, res) => {
  if (!req.oidc.isAuthenticated()) {
    return res.oidc.login({ returnTo: '/page' });
  }
  res.send('signed in as ' + req.oidc.user.sub);
});
const server = app.listen(Number(settings.port), '127.0.0.1', (err) => {
  if (err) throw err;
  console.log('listening');
});
process.on('SIGTERM', () => server.close(() => process.exit()));
