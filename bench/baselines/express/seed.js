/** Seed an empty database: `node seed.js rows.json`. */

import { readFile } from "node:fs/promises"

import bcrypt from "bcrypt"

import { seed } from "./db.js"

const { users, dogs } = JSON.parse(await readFile(process.argv[2], "utf8"))
const hashes = await Promise.all(users.map(({ password }) => bcrypt.hash(password, 10)))

await seed(
  process.env.DATABASE_URL,
  users.map((user, index) => ({ ...user, password_hash: hashes[index] })),
  // JavaScript's dates have a precision of milliseconds.
  dogs.map(({ user, created_at, ...dog }) => ({
    ...dog,
    created_at: new Date(created_at).toISOString(),
    user_id: user,
  })),
)
