import { MantineProvider } from "@mantine/core"
import { Suspense } from "react"
import { BrowserRouter, Route, Routes } from "react-router"
import DogsPage from "./dogs/dogs-page"
import { nonce } from "./nonce"
import { RequireLogin } from "./session/require-login"
import { SessionProvider } from "./session/session-provider"
import { lazyWithRetry } from "./shared/lazy-with-retry"
import { ErrorBoundary } from "./shell/error-boundary"
import { Shell } from "./shell/shell"
import { cssVariables, theme } from "./theme"

// All pages but the landing page are loaded lazily, since there it would add a round trip.
const LoginPage = lazyWithRetry(() => import("./auth/login-page"))
const SignupPage = lazyWithRetry(() => import("./auth/signup-page"))
const ProfilePage = lazyWithRetry(() => import("./profile/profile-page"))
const NotFoundPage = lazyWithRetry(() => import("./shell/not-found-page"))
const Notifications = lazyWithRetry(() => import("./shell/notifications"))

export function App() {
  return (
    <MantineProvider
      theme={theme}
      cssVariablesResolver={cssVariables}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce ?? ""}
    >
      <BrowserRouter>
        <SessionProvider>
          <Routes>
            <Route element={<Shell />}>
              <Route index element={<DogsPage />} />
              <Route path="login" element={<LoginPage />} />
              <Route path="signup" element={<SignupPage />} />
              <Route
                path="profile"
                element={
                  <RequireLogin>
                    <ProfilePage />
                  </RequireLogin>
                }
              />
              <Route path="*" element={<NotFoundPage />} />
            </Route>
          </Routes>
        </SessionProvider>
      </BrowserRouter>
      <ErrorBoundary fallback={null}>
        <Suspense>
          <Notifications position="bottom-center" />
        </Suspense>
      </ErrorBoundary>
    </MantineProvider>
  )
}
