/** The database of `DATABASE_URL`. */

const driver = process.env.DATABASE_URL.startsWith("sqlite:") ? "./db-sqlite.js" : "./db-pg.js"

export const { open, seed } = await import(driver)
