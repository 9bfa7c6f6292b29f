/** PostgreSQL, with a connection pool of pg. */

import connectPgSimple from "connect-pg-simple"
import session from "express-session"
import pg from "pg"

const TABLES = `
  CREATE TABLE users (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    image text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE dogs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    owner text NOT NULL,
    breed text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    user_id integer NOT NULL REFERENCES users (id)
  );
  CREATE INDEX dogs_user_id ON dogs (user_id);
  CREATE TABLE session (
    sid varchar PRIMARY KEY,
    sess json NOT NULL,
    expire timestamp(6) NOT NULL
  );
  CREATE INDEX session_expire ON session (expire);
`
const DOG = "id, name, owner, breed, created_at, user_id"
const CHUNK = 10_000

/** Return the queries of the server. A named statement is prepared once per connection. */
export function open(url) {
  const pool = new pg.Pool({ connectionString: url })
  pool.on("error", (error) => console.error(error)) // a broken idle connection is replaced
  const all = async (name, text, values) => (await pool.query({ name, text, values })).rows
  const first = async (name, text, values) => (await all(name, text, values))[0]
  const Sessions = connectPgSimple(session)
  return {
    // Without touch, a request reads its session and does not write it.
    sessions: new Sessions({ pool, disableTouch: true }),
    dogs: (limit) => all("dogs", `SELECT ${DOG} FROM dogs ORDER BY id LIMIT $1`, [limit]),
    dog: (id) => first("dog", `SELECT ${DOG} FROM dogs WHERE id = $1`, [id]),
    addDog: ({ name, owner, breed }, userId) =>
      first(
        "add-dog",
        `INSERT INTO dogs (name, owner, breed, user_id) VALUES ($1, $2, $3, $4) RETURNING ${DOG}`,
        [name, owner, breed, userId],
      ),
    changeDog: (id, { name, owner, breed }, userId) =>
      first(
        "change-dog",
        `UPDATE dogs SET name = $1, owner = $2, breed = $3 WHERE id = $4 AND user_id = $5 RETURNING ${DOG}`,
        [name, owner, breed, id, userId],
      ),
    user: (id) =>
      first("user", "SELECT id, username, email, image, created_at FROM users WHERE id = $1", [id]),
    login: (username) =>
      first("login", "SELECT id, password_hash FROM users WHERE username = $1", [username]),
  }
}

/** Create the tables in an empty database and insert these rows. */
export async function seed(url, users, dogs) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query("BEGIN")
  await client.query(TABLES)
  await insert(
    client,
    "users",
    { username: "text", email: "text", password_hash: "text", image: "text" },
    users,
  )
  await insert(
    client,
    "dogs",
    { name: "text", owner: "text", breed: "text", created_at: "timestamptz", user_id: "integer" },
    dogs,
  )
  await client.query("COMMIT")
  await client.query("VACUUM ANALYZE")
  await client.end()
}

/** Insert rows in order, in chunks, each column as an array. */
async function insert(client, table, types, rows) {
  const columns = Object.keys(types)
  const arrays = columns.map((column, index) => `$${index + 1}::${types[column]}[]`)
  const text = `
    INSERT INTO ${table} (${columns}) SELECT ${columns}
    FROM unnest(${arrays}) WITH ORDINALITY AS given (${columns}, position) ORDER BY position
  `
  for (let start = 0; start < rows.length; start += CHUNK) {
    const chunk = rows.slice(start, start + CHUNK)
    await client.query(
      text,
      columns.map((column) => chunk.map((row) => row[column])),
    )
  }
}
